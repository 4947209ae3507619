//! Whether the guide hangs together: every page is in the table of contents, and every link from one file
//! of ours to another leads somewhere.
//!
//! The guide is an mdBook whose pages lie in `docs/`; a page that `SUMMARY.md` leaves out is never shown.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use pulldown_cmark::{Event, Parser, Tag};

/// Fails with every page that is not in the table of contents and every link that leads nowhere.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut pages = BTreeSet::new();
    collect_pages(&root.join("docs"), &mut pages)?;
    let mut problems = Vec::new();

    let summary = root.join("docs/SUMMARY.md");
    if !pages.is_empty() {
        let listed: BTreeSet<_> = targets(&summary)?.into_iter().map(|(_, target)| target).collect();
        let missing = pages.iter().filter(|page| **page != summary && !listed.contains(*page));
        problems.extend(missing.map(|page| format!("{} is not in docs/SUMMARY.md", shown(root, page))));
    }
    let beside = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name));
    for file in pages.iter().chain(beside.iter().filter(|file| file.exists())) {
        let dead = targets(file)?.into_iter().filter(|(_, target)| !target.exists());
        problems.extend(dead.map(|(link, _)| format!("{}: the link {link} leads nowhere", shown(root, file))));
    }

    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    println!("{} pages, every one listed, no dead link between files", pages.len());
    Ok(())
}

/// Every Markdown file below `folder` but the built book.
fn collect_pages(folder: &Path, pages: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.is_dir() && !path.ends_with("docs/book") {
            collect_pages(&path, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.insert(path);
        }
    }
    Ok(())
}

/// The links and pictures of a Markdown file that name another file: as written, and where they lead.
fn targets(file: &Path) -> Result<Vec<(String, PathBuf)>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let links = Parser::new(&text).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.to_string()),
        _ => None,
    });
    Ok(links.filter_map(|link| target(file, &link).map(|target| (link, target))).collect())
}

/// `None` when the link leads to another site or within its own page.
fn target(file: &Path, link: &str) -> Option<PathBuf> {
    let path = link.split('#').next()?;
    if path.is_empty() || path.contains(':') {
        return None;
    }
    let mut resolved = file.parent()?.to_path_buf();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = resolved.pop(),
            name => resolved.push(name),
        }
    }
    Some(resolved)
}

fn shown(root: &Path, file: &Path) -> String {
    file.strip_prefix(root).unwrap_or(file).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A repository with these files.
    fn repository(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn problem(files: &[(&str, &str)]) -> String {
        check(repository(files).path()).unwrap_err().to_string()
    }

    #[test]
    fn a_guide_whose_pages_are_listed_and_linked_is_in_order() {
        let root = repository(&[
            ("README.md", "[guide](docs/start.md) [site](https://example.com/x.md) [below](#here)"),
            ("docs/SUMMARY.md", "- [Start](start.md)\n- [Why](decisions/why.md)"),
            ("docs/start.md", "[why](./decisions/why.md#because) and `[no link](nowhere.md)`"),
            ("docs/decisions/why.md", "[back](../start.md)"),
            ("docs/book/print.md", "[built](gone.md)"),
        ]);
        check(root.path()).unwrap();
    }

    #[test]
    fn a_page_that_is_not_listed_is_named() {
        let problem =
            problem(&[("docs/SUMMARY.md", "- [Start](start.md)"), ("docs/start.md", ""), ("docs/lost.md", "")]);
        assert_eq!(problem, "docs/lost.md is not in docs/SUMMARY.md");
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named_with_its_file() {
        let problem = problem(&[("README.md", "![plan](docs/plan.svg)")]);
        assert_eq!(problem, "README.md: the link docs/plan.svg leads nowhere");
    }

    #[test]
    fn pages_without_a_table_of_contents_are_an_error() {
        assert!(problem(&[("docs/start.md", "")]).contains("SUMMARY.md"));
    }
}
