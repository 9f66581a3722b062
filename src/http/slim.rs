//! The page's files as they are served: without comments and indentation.
//!
//! Owns what may be left out of a page, a script or a style sheet without a change of its meaning. It
//! reads no language: lines of comment go, comments at a line's end, blank lines, and the blanks at both
//! ends of a line. So no string or template may reach over a line's end, or hold two slashes between
//! blanks, which the tests check in every file. Tests: below.

/// `source`, HTML, JavaScript or CSS, without its comments (`//` with blanks around it, or at the
/// beginning of a line; `/*` to `*/` at the beginning and the end of a line), without blank lines and
/// indentation.
pub(super) fn slim(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut in_comment = false;
    for line in source.lines().map(str::trim) {
        let begins = line.starts_with("/*");
        if in_comment || begins {
            in_comment = !line.ends_with("*/");
        } else if !line.is_empty() && !line.starts_with("//") {
            kept.push_str(line.split_once(" // ").map_or(line, |(code, _)| code.trim_end()));
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blank_lines_and_indentation_go() {
        for (source, expected) in [
            ("", ""),
            ("a();", "a();\n"),
            ("  a();\n\n\tb(); \r\n", "a();\nb();\n"),
            ("// one\na(); // two\n  // three\n", "a();\n"),
            ("/** one\n * two\n */\na();\n/* three */\nb();", "a();\nb();\n"),
            ("/* a { }\n   b { } */\nc { }\n", "c { }\n"),
            ("const a = 'http://x'; /* b */\n", "const a = 'http://x'; /* b */\n"),
            ("const a = /x/* 2;\n", "const a = /x/* 2;\n"),
        ] {
            assert_eq!(slim(source), expected, "{source:?}");
        }
    }

    /// What would be changed by leaving out more than comments.
    #[test]
    fn in_every_file_lines_stand_for_themselves() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let script = path.extension().is_some_and(|e| e == "js");
            if !script && path.extension().is_none_or(|e| e != "css") {
                continue;
            }
            let mut in_comment = false;
            for line in std::fs::read_to_string(&path).unwrap().lines().map(str::trim) {
                if in_comment || line.starts_with("/*") {
                    let end = line.find("*/");
                    let at_end = end.is_none_or(|at| at + 2 == line.len());
                    assert!(at_end, "code behind a comment: {path:?}: {line}");
                    in_comment = end.is_none();
                } else if script && !line.starts_with("//") && !line.contains("= /") {
                    // (A regular expression, behind `= /`, may have any number of them.)
                    let backticks = line.matches('`').count();
                    assert_eq!(backticks % 2, 0, "a template over lines: {path:?}: {line}");
                    if let Some((code, _)) = line.split_once(" // ") {
                        for quote in ['`', '"', '\''] {
                            let whole = code.matches(quote).count() % 2 == 0;
                            assert!(whole, "slashes within a string: {path:?}: {line}");
                        }
                    }
                }
                assert!(!line.ends_with('\\'), "a string over lines: {path:?}: {line}");
            }
            assert!(!in_comment, "a comment without end: {path:?}");
        }
    }
}
