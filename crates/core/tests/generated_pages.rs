//! The guide's pages that show tables are what the tables say: their pictures and tables are written by them.

use std::path::PathBuf;

use libmigrate::control::limits::Limits;
use libmigrate::control::{lifecycle, rules};

/// Set to anything, it makes the tests write the pages.
const WRITE: &str = "LIBMIGRATE_WRITE_PAGES";

/// Holds a page of the guide to what its parts are made of: each has a name and its content.
fn holds(page: &str, parts: &[(&str, String)]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let before = std::fs::read_to_string(&path).unwrap();
    let expected = parts.iter().fold(before.clone(), |text, (name, content)| replaced(page, &text, name, content));
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    assert!(
        before == expected,
        "docs/{page} differs from its tables; write it anew with: {WRITE}=1 cargo test -p libmigrate --test generated_pages"
    );
}

/// The text with what lies between the marks of `name` replaced.
fn replaced(page: &str, text: &str, name: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: generated -->\n"), format!("<!-- {name}: end -->\n"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("docs/{page} has no {begin:?}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("docs/{page} has no {end:?}"));
    format!("{before}{begin}\n{content}\n{end}{after}")
}

#[test]
fn the_lifecycles_page_holds_exactly_what_its_tables_say() {
    let picture = format!("```mermaid\n{}```\n", lifecycle::to_mermaid());
    holds("lifecycle.md", &[("picture", picture), ("tables", lifecycle::to_markdown())]);
}

#[test]
fn the_rules_page_holds_exactly_what_its_tables_say() {
    holds(
        "rules.md",
        &[
            ("rules", rules::to_markdown()),
            ("changes", rules::changes_to_markdown()),
            ("limits", rules::limits_to_markdown(Limits::published())),
        ],
    );
}
