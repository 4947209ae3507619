//! The lines that a test gives, as unbound's configuration and zone files.

use std::fmt::Write as _;

/// What stands in the zones, and what is done with some names instead.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    /// The root first; there is always one.
    pub(super) zones: Vec<Zone>,
    refused: Vec<String>,
    failing: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Zone {
    /// In lower case, with the dot at its end.
    pub(super) name: String,
    /// It answers for itself, and follows no alias out of it.
    authoritative: bool,
    lines: Vec<String>,
}

impl Records {
    /// # Panics
    /// When a line does not begin with a name that ends with a dot.
    pub(super) fn read<R: AsRef<str>>(lines: &[R]) -> Self {
        let mut records = Self::default();
        records.zone_of_name(".");
        // Zones first: a record may stand before the line that makes its zone.
        let (zones, others): (Vec<_>, Vec<_>) =
            lines.iter().map(AsRef::as_ref).partition(|line| makes_zone(&words(line)));
        for line in zones {
            records.add_zone(line);
        }
        for line in others {
            records.add(line);
        }
        records
    }

    fn add_zone(&mut self, line: &str) {
        let name = name_of(line);
        let zone = self.zone_of_name(&name);
        if words(line).len() == 2 {
            zone.authoritative = true;
        } else {
            zone.lines.push(line.to_owned());
        }
    }

    fn add(&mut self, line: &str) {
        let name = name_of(line);
        match words(line)[..] {
            [_, "REFUSED"] => self.refused.push(name),
            [_, "SERVFAIL"] => self.failing.push(name),
            _ => self.zone_around(&name).lines.push(line.to_owned()),
        }
    }

    fn zone_of_name(&mut self, name: &str) -> &mut Zone {
        let index = self.zones.iter().position(|zone| zone.name == name).unwrap_or_else(|| {
            self.zones.push(Zone { name: name.to_owned(), authoritative: false, lines: Vec::new() });
            self.zones.len() - 1
        });
        &mut self.zones[index]
    }

    fn zone_around(&mut self, name: &str) -> &mut Zone {
        let around = self.zones.iter_mut().filter(|zone| is_within(name, &zone.name));
        around.max_by_key(|zone| zone.name.len()).expect("every name is within the root")
    }

    /// The clauses for the names and zones, to follow unbound's own.
    pub(super) fn configuration(&self) -> String {
        let mut text = String::from("server:\n");
        // Unbound has zones of its own for names that must not leave a site; none of a test's leaves it anyway.
        for name in ["test.", "invalid.", "onion.", "10.in-addr.arpa.", "home.arpa."] {
            _ = writeln!(text, "  local-zone: \"{name}\" nodefault");
        }
        for name in &self.refused {
            _ = writeln!(text, "  local-zone: \"{name}\" always_refuse");
        }
        for name in &self.failing {
            // Nobody may be asked there, which fails at once.
            _ = writeln!(text, "forward-zone:\n  name: \"{name}\"\n  forward-addr: 127.0.0.1@1");
        }
        for (index, Zone { name, authoritative, .. }) in self.zones.iter().enumerate() {
            let (down, up) = if *authoritative { ("yes", "no") } else { ("no", "yes") };
            _ = write!(
                text,
                "auth-zone:\n  name: \"{name}\"\n  zonefile: \"{file}\"\n  for-upstream: {up}\n  \
                 for-downstream: {down}\n  fallback-enabled: no\n",
                file = Zone::file(index),
            );
        }
        text
    }
}

impl Zone {
    /// The name of its file, in unbound's folder.
    pub(super) fn file(index: usize) -> String {
        format!("zone-{index}")
    }

    /// Its file, with a mark to know it by.
    pub(super) fn text(&self, generation: u32) -> String {
        let Self { name, lines, .. } = self;
        let mut text = String::new();
        if !lines.iter().any(|line| words(line).contains(&"SOA")) {
            _ = writeln!(text, "{name} 60 IN SOA ns.invalid. hostmaster.invalid. {generation} 3600 600 86400 60");
        }
        _ = writeln!(text, "{name} 60 IN NS ns.invalid.");
        _ = writeln!(text, "{} 0 IN TXT \"{}\"", self.mark_name(), mark(generation));
        for line in lines {
            _ = writeln!(text, "{line}");
        }
        text
    }

    /// A name in it that only this program knows.
    pub(super) fn mark_name(&self) -> String {
        format!("_generation.{}", self.name.trim_start_matches('.'))
    }
}

/// What the name of the mark has as text.
pub(super) fn mark(generation: u32) -> String {
    format!("generation {generation}.")
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn makes_zone(words: &[&str]) -> bool {
    matches!(words, [_, "AUTHORITATIVE"] | [_, "SOA", ..] | [_, _, "SOA", ..] | [_, _, _, "SOA", ..])
}

fn name_of(line: &str) -> String {
    let name = words(line).first().copied().unwrap_or_default();
    assert!(name.ends_with('.'), "the name must come first and end with a dot: {line:?}");
    name.to_ascii_lowercase()
}

fn is_within(name: &str, zone: &str) -> bool {
    zone == "." || name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of<'a>(records: &'a Records, zone: &str) -> &'a [String] {
        &records.zones.iter().find(|candidate| candidate.name == zone).unwrap().lines
    }

    #[test]
    fn a_record_stands_in_the_closest_zone_wherever_its_line_is() {
        let records = Records::read(&[
            "a.privatelink.test. 60 IN A 10.0.0.5",
            "privatelink.test. 60 IN SOA ns. host. 1 1 1 1 60",
            "a.test. 60 IN CNAME a.privatelink.test.",
            "notprivatelink.test. 60 IN A 10.0.0.6",
        ]);

        assert_eq!(lines_of(&records, "privatelink.test.").len(), 2);
        assert_eq!(lines_of(&records, ".").len(), 2);
    }

    #[test]
    fn a_zone_that_names_no_authority_gets_one() {
        let records = Records::read(&["loop.test. AUTHORITATIVE", "a.test. 60 IN A 10.0.0.5"]);
        let texts: Vec<_> = records.zones.iter().map(|zone| zone.text(7)).collect();
        assert!(texts[0].starts_with(". 60 IN SOA ") && texts[0].contains("_generation. 0 IN TXT"), "{texts:?}");
        assert!(texts[1].starts_with("loop.test. 60 IN SOA "), "{texts:?}");
    }

    #[test]
    #[should_panic(expected = "the name must come first and end with a dot")]
    fn a_name_without_its_dot_is_refused() {
        Records::read(&["a.test 60 IN A 10.0.0.5"]);
    }
}
