//! Load generator (the command line stands here).
fn main() {}
