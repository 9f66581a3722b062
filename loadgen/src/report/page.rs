//! Writes HTML: elements, tables, text that is escaped. Knows nothing of reports. Tests: in
//! `html.rs`, on whole pages.

use std::fmt::Write as _;

/// The page's style sheet.
pub(super) const STYLE: &str = include_str!("page.css");

/// What is written so far.
#[derive(Debug, Default)]
pub(super) struct Page(pub(super) String);

impl Page {
    /// Appends a page's beginning, with its title as the first line. The caller ends the body.
    pub(super) fn begin(&mut self, title: &str) {
        self.raw(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        );
        self.element("title", title);
        self.raw("<style>\n");
        self.raw(STYLE);
        self.raw("</style>\n</head>\n<body>\n");
        self.element("h1", title);
    }

    /// All of it.
    pub(super) fn finish(self) -> String {
        self.0
    }

    /// Appends HTML.
    pub(super) fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    /// Appends text. Control characters are shown, not sent.
    pub(super) fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.raw("&amp;"),
                '<' => self.raw("&lt;"),
                '>' => self.raw("&gt;"),
                '"' => self.raw("&quot;"),
                '\'' => self.raw("&#39;"),
                c if c.is_control() => self.0.extend(c.escape_default()),
                c => self.0.push(c),
            }
        }
    }

    /// Appends an element with nothing but text in it. `open`: its name and attributes.
    pub(super) fn element(&mut self, open: &str, text: &str) {
        let name = open.split(' ').next().unwrap_or(open);
        let _ = write!(self.0, "<{open}>");
        self.text(text);
        let _ = writeln!(self.0, "</{name}>");
    }

    /// Begins a table; the caller ends it.
    pub(super) fn table(&mut self, class: &str, columns: &[&str]) {
        let _ = write!(self.0, "<table class=\"{class}\"><thead><tr>");
        for column in columns {
            match *column {
                "" => self.raw("<td></td>"),
                column => self.element("th scope=\"col\"", column),
            }
        }
        self.raw("</tr></thead><tbody>\n");
    }

    pub(super) fn row(&mut self, class: &str, cells: &[String]) {
        match class {
            "" => self.raw("<tr>"),
            class => drop(write!(self.0, "<tr class=\"{class}\">")),
        }
        for cell in cells {
            self.raw("<td>");
            self.text(cell);
            self.raw("</td>");
        }
        self.raw("</tr>\n");
    }

    /// A box of names and their values. A value's class may be empty.
    pub(super) fn pairs(&mut self, title: &str, pairs: &[(&str, String, &str)]) {
        self.raw("<div class=\"box\">");
        self.element("h3", title);
        self.raw("<table class=\"pairs\"><tbody>\n");
        for (name, value, class) in pairs {
            let _ = write!(self.0, "<tr class=\"{class}\"><th scope=\"row\">{name}</th><td>");
            self.text(value);
            self.raw("</td></tr>\n");
        }
        self.raw("</tbody></table></div>\n");
    }
}
