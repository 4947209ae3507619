//! The answers of Get Page Ranges, with and without a previous snapshot.
//!
//! Read here and not by the client library, whose type cannot hold an answer in which `PageRange` and
//! `ClearRange` elements alternate, as those about changes do. One reader serves both requests: pages
//! that hold data are `PageRange`s; for changes, pages that were cleared are `ClearRange`s, and count.
//!
//! The bytes come from outside. A page list that is not one is an error, never a panic; what is kept is
//! bounded by the length of the answer, which the transport bounds.
//!
//! Source: Microsoft Learn, REST reference "Get Page Ranges" (`Start` and `End`, both inclusive).

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::size::PageRange;

/// One answer of possibly several.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PageList {
    /// In the order of the answer.
    pub(super) ranges: Vec<PageRange>,
    /// Where the next answer goes on.
    pub(super) next_marker: Option<String>,
}

/// Which element the reader is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    Start,
    End,
    NextMarker,
}

/// Reads an answer; the error says what is wrong with it.
pub(super) fn parse(xml: &[u8]) -> Result<PageList, String> {
    let text = std::str::from_utf8(xml).map_err(|_| "the page list is no UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text);
    let mut list = PageList::default();
    let mut marker = String::new();
    let (mut start, mut end) = (None, None);
    let mut place = Place::Elsewhere;
    let mut complete = false;
    loop {
        match reader.read_event().map_err(|error| format!("the page list is no XML: {error}"))? {
            Event::Start(element) => {
                place = match element.local_name().as_ref() {
                    b"Start" => Place::Start,
                    b"End" => Place::End,
                    b"NextMarker" => Place::NextMarker,
                    b"PageRange" | b"ClearRange" => {
                        (start, end) = (None, None);
                        Place::Elsewhere
                    }
                    _ => Place::Elsewhere,
                };
            }
            Event::Text(words) => match place {
                Place::Start => start = Some(offset(&words)?),
                Place::End => end = Some(offset(&words)?),
                Place::NextMarker => marker.push_str(&String::from_utf8_lossy(&words)),
                Place::Elsewhere => {}
            },
            // A marker is opaque and may hold an entity; offsets cannot.
            Event::GeneralRef(entity) if place == Place::NextMarker => marker.push(character(&entity)?),
            Event::End(element) => {
                place = Place::Elsewhere;
                match element.local_name().as_ref() {
                    b"PageRange" | b"ClearRange" => list.ranges.push(page_range(start, end)?),
                    name => complete |= name == b"PageList",
                }
            }
            Event::Empty(element) => match element.local_name().as_ref() {
                b"PageRange" | b"ClearRange" => list.ranges.push(page_range(None, None)?),
                name => complete |= name == b"PageList",
            },
            Event::Eof => break,
            _ => {}
        }
    }
    // A list that was cut off would hide pages.
    if !complete {
        return Err("the answer is no complete page list".to_owned());
    }
    list.next_marker = (!marker.is_empty()).then_some(marker);
    Ok(list)
}

fn offset(words: &[u8]) -> Result<u64, String> {
    let text = String::from_utf8_lossy(words);
    text.trim().parse().map_err(|_| format!("the page list has the offset {:?}", shortened(&text)))
}

fn character(entity: &[u8]) -> Result<char, String> {
    match entity {
        b"amp" => Ok('&'),
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"quot" => Ok('"'),
        b"apos" => Ok('\''),
        other => Err(format!("the page list's marker has the entity {:?}", shortened(&String::from_utf8_lossy(other)))),
    }
}

fn page_range(start: Option<u64>, end: Option<u64>) -> Result<PageRange, String> {
    let (Some(start), Some(last)) = (start, end) else {
        return Err("the page list has a range without start and end".to_owned());
    };
    last.checked_add(1)
        .and_then(|end| end.checked_sub(start))
        .and_then(|len| PageRange::new(start, len))
        .ok_or_else(|| format!("the page list has the range {start} to {last}, which is no run of pages"))
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Sorted, with those that touch or overlap joined.
pub(super) fn merged(mut ranges: Vec<PageRange>) -> Vec<PageRange> {
    ranges.sort_unstable();
    let mut merged: Vec<PageRange> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.offset() <= last.end() => {
                let len = last.end().max(range.end()) - last.offset();
                *last = PageRange::new(last.offset(), len).expect("joined pages are pages");
            }
            _ => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pages(offset: u64, len: u64) -> PageRange {
        PageRange::new(offset, len).unwrap()
    }

    #[test]
    fn a_plain_list_is_read_with_its_marker() {
        let xml = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><PageList>\
            <PageRange><Start>0</Start><End>511</End></PageRange>\
            <PageRange><Start>4096</Start><End>8191</End></PageRange>\
            <NextMarker>2!a&amp;b=</NextMarker></PageList>";
        let list = parse(xml.as_bytes()).unwrap();
        assert_eq!(list.ranges, [pages(0, 512), pages(4096, 4096)]);
        assert_eq!(list.next_marker.as_deref(), Some("2!a&b="));
    }

    #[test]
    fn written_and_cleared_pages_may_alternate() {
        let xml = b"<PageList>\
            <ClearRange><Start>0</Start><End>511</End></ClearRange>\
            <PageRange><Start>512</Start><End>1023</End></PageRange>\n\
            <ClearRange><Start>2048</Start><End>2559</End></ClearRange>\
            <PageRange><Start>4096</Start><End>4607</End></PageRange>\
            <NextMarker/></PageList>";
        let list = parse(xml).unwrap();
        assert_eq!(list.ranges, [pages(0, 512), pages(512, 512), pages(2048, 512), pages(4096, 512)]);
        assert_eq!(list.next_marker, None);
    }

    #[test]
    fn an_empty_list_is_a_list() {
        assert_eq!(parse(b"<PageList/>").unwrap(), PageList::default());
        assert_eq!(parse(b"<PageList><NextMarker /></PageList>").unwrap(), PageList::default());
    }

    #[test]
    fn what_is_no_page_list_is_refused() {
        let refused = |xml: &str| parse(xml.as_bytes()).unwrap_err();
        assert!(refused("").contains("no complete page list"));
        assert!(refused("<html></html>").contains("no complete page list"));
        assert!(refused("<PageList><PageRange><Start>0</Start><End>511</End></PageRange>").contains("no complete"));
        assert!(refused("<PageList></PageRange>").contains("no XML"));
        assert!(refused("<PageList><PageRange/></PageList>").contains("without start and end"));
        assert!(refused("<PageList><PageRange><Start>0</Start></PageRange></PageList>").contains("without"));
        assert!(refused("<PageList><PageRange><Start>-1</Start></PageRange></PageList>").contains("offset"));
        let range = |start: &str, end: &str| {
            refused(&format!("<PageList><PageRange><Start>{start}</Start><End>{end}</End></PageRange></PageList>"))
        };
        assert!(range("0", "100").contains("no run of pages"));
        assert!(range("1024", "511").contains("no run of pages"));
        assert!(range("0", "18446744073709551615").contains("no run of pages"));
    }

    #[test]
    fn merging_sorts_and_joins() {
        let ranges = vec![pages(1024, 512), pages(0, 512), pages(512, 512), pages(4096, 1024), pages(4608, 2048)];
        assert_eq!(merged(ranges), [pages(0, 1536), pages(4096, 2560)]);
    }

    prop_compose! {
        fn any_pages()(first in 0u64..1 << 34, count in 1u64..1 << 20) -> PageRange {
            pages(first * 512, count * 512)
        }
    }

    proptest! {
        #[test]
        fn every_list_that_is_written_is_read(ranges in prop::collection::vec((any::<bool>(), any_pages()), 0..50)) {
            let element = |(cleared, range): &(bool, PageRange)| {
                let name = if *cleared { "ClearRange" } else { "PageRange" };
                format!("<{name}><Start>{}</Start><End>{}</End></{name}>", range.offset(), range.end() - 1)
            };
            let elements = ranges.iter().map(element).collect::<Vec<_>>().concat();
            let list = parse(format!("<PageList>{elements}</PageList>").as_bytes()).unwrap();
            prop_assert_eq!(list.ranges, ranges.into_iter().map(|(_, range)| range).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_near_miss_breaks_the_reader(
            parts in prop::collection::vec(prop::sample::select(vec![
                "<PageList>", "</PageList>", "<PageRange>", "</PageRange>", "<ClearRange>", "</ClearRange>",
                "<Start>", "</Start>", "<End>", "</End>", "0", "511", "99999999999999999999", "&amp;", "&#x0;", "&x;",
                "<NextMarker>", "</NextMarker>", "<!--", "-->", "<![CDATA[", "]]>", "<!DOCTYPE a [<!ENTITY b 'c'>]>",
            ]), 0..30)
        ) {
            let _ = parse(parts.concat().as_bytes());
        }

        #[test]
        fn merged_ranges_are_apart_and_in_order(ranges in prop::collection::vec(any_pages(), 0..50)) {
            let merged = merged(ranges.clone());
            prop_assert!(merged.windows(2).all(|pair| pair[0].end() < pair[1].offset()));
            let holds = |joined: &PageRange, range: &PageRange| {
                joined.offset() <= range.offset() && range.end() <= joined.end()
            };
            prop_assert!(ranges.iter().all(|range| merged.iter().any(|joined| holds(joined, range))));
        }
    }
}
