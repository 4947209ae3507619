//! Paths that Windows wrote into an image, as names to look for here.

/// Where to look for a file that Windows named: first its path relative to the image, then every absolute
/// path, then the bare file name of each beside the image, since whole folders are copied and drives are
/// not. Whoever opens the result holds it against the identity that the image states.
pub(super) fn candidates(relative: &[String], absolute: &[String]) -> Vec<String> {
    let mut names: Vec<String> = relative.iter().map(|path| with_slashes(path)).collect();
    // On other systems a drive or a share means nothing.
    if cfg!(windows) {
        names.extend(absolute.iter().cloned());
    }
    names.extend(relative.iter().chain(absolute).filter_map(|path| file_name(path)));
    let mut seen = Vec::new();
    names.retain(|name| {
        let is_new = !name.is_empty() && !seen.contains(name);
        seen.push(name.clone());
        is_new
    });
    names
}

/// The text of UTF-16 code units, up to a terminating zero.
pub(super) fn from_utf16(units: impl Iterator<Item = u16>) -> String {
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&units)
}

fn with_slashes(path: &str) -> String {
    let path = path.replace('\\', "/");
    path.strip_prefix("./").unwrap_or(&path).to_owned()
}

fn file_name(path: &str) -> Option<String> {
    let name = path.rsplit(['\\', '/']).next().filter(|name| !name.is_empty() && *name != "." && *name != "..")?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relative_path_comes_first_then_bare_names() {
        let names =
            candidates(&[r".\disks\base.vhdx".into()], &[r"D:\vm\base.vhdx".into(), r"\\host\vm\old.vhdx".into()]);

        assert_eq!(names, ["disks/base.vhdx", "base.vhdx", "old.vhdx"]);
    }

    #[test]
    fn a_name_is_tried_once_and_an_empty_one_never() {
        assert_eq!(
            candidates(&[r".\base.vhdx".into(), String::new()], &[r"C:\base.vhdx".into(), r"C:\".into()]),
            ["base.vhdx"]
        );
    }

    #[test]
    fn text_ends_at_its_zero() {
        assert_eq!(from_utf16("ab\0cd".encode_utf16()), "ab");
    }
}
