//! Schedules: what holds when, over nights on which the clock jumps too.

use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;

use super::*;
use crate::error::Diagnose;

fn window(days: &[Weekday], from: &str, to: &str, rule: Rule) -> Window {
    Window { days: days.to_vec(), from: from.parse().unwrap(), to: to.parse().unwrap(), rule }
}

fn blackout(zone: &str, days: &[Weekday], from: &str, to: &str) -> Schedule {
    Schedule::new(zone, vec![window(days, from, to, Rule::Blackout)]).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// From when until when it is dark, between two moments.
fn dark(schedule: &Schedule, from: &str, to: &str) -> Vec<(String, String)> {
    let (mut now, end) = (at(from), at(to));
    let mut found = Vec::new();
    while now < end {
        let next = schedule.next_change(now).map_or(end, |next| next.min(end));
        if schedule.rule_at(now) == Some(Rule::Blackout) {
            found.push((now.to_string(), next.to_string()));
        }
        now = next;
    }
    found
}

fn span(from: &str, to: &str) -> Vec<(String, String)> {
    vec![(from.to_owned(), to.to_owned())]
}

#[test]
fn a_window_is_local_time_in_winter_and_in_summer() {
    let office = blackout("Europe/Berlin", &[Weekday::Mon], "08:00", "18:00");
    let winter = dark(&office, "2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z");
    let summer = dark(&office, "2026-07-06T00:00:00Z", "2026-07-07T00:00:00Z");
    assert_eq!(winter, span("2026-01-05T07:00:00Z", "2026-01-05T17:00:00Z"));
    assert_eq!(summer, span("2026-07-06T06:00:00Z", "2026-07-06T16:00:00Z"));
}

#[test]
fn a_window_may_cross_midnight_and_the_end_of_the_week() {
    let night = blackout("UTC", &[Weekday::Sun], "22:00", "06:00");
    let found = dark(&night, "2026-01-04T00:00:00Z", "2026-01-10T00:00:00Z");
    assert_eq!(found, span("2026-01-04T22:00:00Z", "2026-01-05T06:00:00Z"));
}

/// New York, 8 March 2026: 02:00 becomes 03:00, which is 07:00 in UTC.
#[test]
fn where_the_clock_is_put_forward_only_what_it_shows_counts() {
    let night = |from, to| {
        let schedule = blackout("America/New_York", &[Weekday::Sun], from, to);
        dark(&schedule, "2026-03-08T05:00:00Z", "2026-03-08T12:00:00Z")
    };
    assert_eq!(night("02:00", "03:00"), [], "the clock shows none of it");
    assert_eq!(night("02:15", "02:45"), [], "nor of this");
    assert_eq!(night("01:30", "02:30"), span("2026-03-08T06:30:00Z", "2026-03-08T07:00:00Z"), "ends with the jump");
    assert_eq!(night("02:30", "03:30"), span("2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z"), "begins with it");
    assert_eq!(night("01:00", "04:00"), span("2026-03-08T06:00:00Z", "2026-03-08T08:00:00Z"), "two hours, not three");
}

/// New York, 1 November 2026: 02:00 becomes 01:00 again, which is 06:00 in UTC.
#[test]
fn where_the_clock_is_put_back_what_it_shows_twice_counts_twice() {
    let night = |from, to| {
        let schedule = blackout("America/New_York", &[Weekday::Sun], from, to);
        dark(&schedule, "2026-11-01T04:00:00Z", "2026-11-01T12:00:00Z")
    };
    assert_eq!(
        night("01:00", "02:00"),
        span("2026-11-01T05:00:00Z", "2026-11-01T07:00:00Z"),
        "one stretch of two hours"
    );
    assert_eq!(night("00:00", "04:00"), span("2026-11-01T04:00:00Z", "2026-11-01T09:00:00Z"), "five hours, not four");
    let twice = [
        ("2026-11-01T05:15:00Z".to_owned(), "2026-11-01T05:45:00Z".to_owned()),
        ("2026-11-01T06:15:00Z".to_owned(), "2026-11-01T06:45:00Z".to_owned()),
    ];
    assert_eq!(night("01:15", "01:45"), twice);
}

#[test]
fn a_weekly_window_that_a_jump_leaves_out_comes_back_a_week_later() {
    let schedule = blackout("America/New_York", &[Weekday::Sun], "02:00", "03:00");
    let next = schedule.next_change(at("2026-03-01T09:00:00Z"));
    assert_eq!(next, Some(at("2026-03-15T06:00:00Z")), "not on the 8th");
}

#[test]
fn half_hours_and_days_that_were_left_out_are_no_trouble() {
    // Lord Howe Island moves by half an hour: 02:00 becomes 02:30 on 4 October 2026, 15:30 in UTC the day before.
    let lord_howe = blackout("Australia/Lord_Howe", &[Weekday::Sun], "01:30", "03:00");
    let found = dark(&lord_howe, "2026-10-03T12:00:00Z", "2026-10-03T20:00:00Z");
    assert_eq!(found, span("2026-10-03T15:00:00Z", "2026-10-03T16:00:00Z"));
    // Samoa had no 30 December 2011, a Friday.
    let samoa = blackout("Pacific/Apia", &[Weekday::Fri], "00:00", "24:00");
    assert_eq!(dark(&samoa, "2011-12-28T00:00:00Z", "2012-01-04T00:00:00Z"), []);
}

#[test]
fn what_never_changes_has_no_next_change() {
    let always = blackout("Europe/Berlin", &Weekday::ALL, "00:00", "24:00");
    assert_eq!(always.rule_at(at("2026-03-29T01:30:00Z")), Some(Rule::Blackout));
    assert_eq!(always.next_change(at("2026-03-20T00:00:00Z")), None);
    let never = Schedule::new("UTC", Vec::new()).unwrap();
    assert_eq!((never.rule_at(Timestamp::UNIX_EPOCH), never.next_change(Timestamp::UNIX_EPOCH)), (None, None));
}

#[test]
fn windows_that_meet_hand_over() {
    let slow = Rule::BytesPerSecond(1000);
    let windows = vec![
        window(&[Weekday::Mon], "08:00", "12:00", Rule::Blackout),
        window(&[Weekday::Mon], "12:00", "18:00", slow),
    ];
    let schedule = Schedule::new("UTC", windows).unwrap();
    assert_eq!(schedule.rule_at(at("2026-01-05T11:59:59.999Z")), Some(Rule::Blackout));
    assert_eq!(schedule.rule_at(at("2026-01-05T12:00:00Z")), Some(slow));
    assert_eq!(schedule.rule_at(at("2026-01-05T18:00:00Z")), None);
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_code() {
    let refused = |windows| Schedule::new("UTC", windows).unwrap_err();
    let whole = |days: &[Weekday], rule| window(days, "08:00", "18:00", rule);
    let contradiction = refused(vec![
        whole(&Weekday::ALL, Rule::Blackout),
        window(&[Weekday::Tue], "17:00", "19:00", Rule::BytesPerSecond(1)),
    ]);
    assert_eq!(contradiction.to_string(), "windows 1 and 2 of the schedule contradict each other from Tue 17:00 on");
    assert_eq!(contradiction.code(), "schedule.contradiction");
    let over_midnight = refused(vec![
        window(&[Weekday::Sun], "22:00", "06:00", Rule::Blackout),
        window(&[Weekday::Mon], "05:00", "07:00", Rule::BytesPerSecond(1)),
    ]);
    assert_eq!(over_midnight.code(), "schedule.contradiction");
    for void in [
        whole(&[], Rule::Blackout),
        whole(&[Weekday::Mon], Rule::BytesPerSecond(0)),
        window(&[Weekday::Mon], "08:00", "08:00", Rule::Blackout),
        window(&[Weekday::Mon], "24:00", "08:00", Rule::Blackout),
    ] {
        assert_eq!(refused(vec![void]).code(), "schedule.window");
    }
    let zones = ["Europe/Atlantis", "", "EST5EDT4,M3.2.0,M11.1.0", "../../etc/passwd", "/etc/passwd"];
    let codes = zones.map(|zone| Schedule::new(zone, Vec::new()).map_err(|e| e.code()));
    assert_eq!(codes, [const { Err("schedule.zone") }; 5]);
}

#[test]
fn overlaps_of_one_rule_are_no_contradiction() {
    let windows = vec![
        window(&Weekday::ALL, "08:00", "12:00", Rule::Blackout),
        window(&[Weekday::Mon, Weekday::Mon], "10:00", "14:00", Rule::Blackout),
    ];
    let schedule = Schedule::new("UTC", windows).unwrap();
    let found = dark(&schedule, "2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z");
    assert_eq!(found, span("2026-01-05T08:00:00Z", "2026-01-05T14:00:00Z"));
}

#[test]
fn json_goes_in_and_comes_out_the_same() {
    let text = r#"{"zone":"Europe/Berlin","windows":[
        {"days":["mon"],"from":"08:00","to":"18:00","rule":"blackout"},
        {"days":["sat","sun"],"from":"22:00:30","to":"06:00","rule":{"bytes_per_second":1000}}]}"#;
    let schedule = Schedule::from_json(text).unwrap();
    let written = serde_json::to_value(&schedule).unwrap();
    assert_eq!(written, serde_json::from_str::<serde_json::Value>(text).unwrap());
    assert_eq!(serde_json::from_value::<Schedule>(written).unwrap(), schedule);
}

#[test]
fn json_that_says_something_else_is_refused_with_its_code() {
    let code = |text| Schedule::from_json(text).unwrap_err().code();
    assert_eq!(code("{"), "schedule.syntax");
    assert_eq!(
        code(r#"{"zone":"UTC","windows":[],"holidays":[]}"#),
        "schedule.syntax",
        "what we do not know, we do not skip"
    );
    let one = |window: &str| Schedule::from_json(&format!(r#"{{"zone":"UTC","windows":[{window}]}}"#)).unwrap_err();
    let late = one(r#"{"days":["mon"],"from":"08:00","to":"25:00","rule":"blackout"}"#);
    assert!(late.to_string().contains("25:00"), "{late}");
    assert_eq!(one(r#"{"days":[],"from":"08:00","to":"09:00","rule":"blackout"}"#).code(), "schedule.window");
    assert_eq!(code(r#"{"zone":"Mars/Olympus","windows":[]}"#), "schedule.zone");
}

/// So a machine without /usr/share/zoneinfo, as many containers are, knows the zones too.
#[test]
fn zones_are_known_without_the_systems_database() {
    let zone = TimeZoneDatabase::bundled().get("America/New_York").unwrap();
    assert_eq!(zone.following(at("2026-03-01T00:00:00Z")).next().unwrap().timestamp(), at("2026-03-08T07:00:00Z"));
}

fn any_window() -> impl Strategy<Value = Window> {
    let rule = prop_oneof![Just(Rule::Blackout), (1..4_u64).prop_map(Rule::BytesPerSecond)];
    (prop::collection::vec(0..7_usize, 1..4), 0..48_u8, 0..=48_u8, rule).prop_map(|(days, from, to, rule)| {
        let time = |halves: u8| TimeOfDay::new(halves / 2, halves % 2 * 30, 0).unwrap();
        let days = days.into_iter().map(|day| Weekday::ALL[day]).collect();
        Window { days, from: time(from), to: time(to), rule }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The next change is one, and nothing changes before it; in zones that jump by an hour, by half an hour,
    /// and not at all.
    #[test]
    fn nothing_changes_before_the_next_change(
        windows in prop::collection::vec(any_window(), 0..3),
        zone in prop::sample::select(vec!["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"]),
        start in 1_770_000_000..1_800_000_000_i64,
    ) {
        let Ok(schedule) = Schedule::new(zone, windows) else { return Ok(()) };
        let start = Timestamp::from_second(start).unwrap();
        let horizon = start + SignedDuration::from_hours(24 * 15);
        let next = schedule.next_change(start);
        let until = next.unwrap_or(horizon);
        let mut now = start;
        while now < until {
            prop_assert_eq!(schedule.rule_at(now), schedule.rule_at(start), "at {}", now);
            now += SignedDuration::from_mins(10);
        }
        if let Some(next) = next {
            prop_assert_ne!(schedule.rule_at(next), schedule.rule_at(start));
            let just_before = next - SignedDuration::from_nanos(1);
            prop_assert_eq!(schedule.rule_at(just_before.max(start)), schedule.rule_at(start));
        }
    }
}
