//! The guide's page of the lifecycle is what the tables say: its picture and its tables are written by them.

use std::path::PathBuf;

use libmigrate::control::lifecycle;

/// Set to anything, it makes the test write the page.
const WRITE: &str = "LIBMIGRATE_WRITE_PAGES";

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/lifecycle.md")
}

/// The page with what lies between the marks of `name` replaced.
fn replaced(page: &str, name: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: generated -->\n"), format!("<!-- {name}: end -->\n"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("docs/lifecycle.md has no {begin:?}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("docs/lifecycle.md has no {end:?}"));
    format!("{before}{begin}\n{content}\n{end}{after}")
}

#[test]
fn the_page_holds_exactly_what_the_tables_say() {
    let before = std::fs::read_to_string(page()).unwrap();
    let picture = format!("```mermaid\n{}```\n", lifecycle::to_mermaid());
    let expected = replaced(&replaced(&before, "picture", &picture), "tables", &lifecycle::to_markdown());
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(page(), &expected).unwrap();
        return;
    }
    assert!(
        before == expected,
        "docs/lifecycle.md differs from the tables of the lifecycle; write it anew with: {WRITE}=1 cargo test -p libmigrate --test lifecycle_page"
    );
}
