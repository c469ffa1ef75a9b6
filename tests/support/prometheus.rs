//! A strict reader of Prometheus' text format: what breaks a rule of it, or of its conventions, fails the test.

use std::collections::{BTreeMap, BTreeSet};

/// A sample's labels and their values.
pub type Labels = BTreeMap<String, String>;

/// A metric.
#[derive(Debug)]
pub struct Family {
    pub kind: String,
    pub help: String,
    /// With the suffixes of histograms' names.
    pub samples: Vec<(String, Labels, f64)>,
}

/// All metrics of a page, by name.
#[derive(Debug)]
pub struct Scrape(pub BTreeMap<String, Family>);

impl Scrape {
    pub fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line does not end");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let (mut current, mut seen) = (String::new(), BTreeSet::new());
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
                let kind = kind.unwrap_or_else(|| panic!("no type after {line}"));
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{name} is a {kind}");
                assert!(is_name(name) && help.len() > 10 && help.ends_with('.'), "{line}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
                let family = Family { kind: kind.to_owned(), help: help.to_owned(), samples: Vec::new() };
                assert!(families.insert(name.to_owned(), family).is_none(), "{name} twice");
                name.clone_into(&mut current);
                continue;
            }
            let (name, labels, value) = sample(line);
            assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
            let family = families.get_mut(&current).unwrap_or_else(|| panic!("a sample of nothing: {line}"));
            let suffixes: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.iter().any(|suffix| name == format!("{current}{suffix}")), "{line} is not of {current}");
            family.samples.push((name, labels, value));
        }
        families.iter().filter(|(_, family)| family.kind == "histogram").for_each(|(name, family)| assert_is_histogram(name, family));
        Self(families)
    }

    /// The sum of a metric's samples that have these labels; for a histogram name its `_count` or `_sum`.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |given: &Labels| labels.iter().all(|(label, value)| given.get(*label).is_some_and(|given| given == value));
        let samples = self.0.values().flat_map(|family| &family.samples);
        samples.filter(|(sample, given, _)| sample == name && fits(given)).map(|(.., value)| value).sum()
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// `name{label="value",…} number`
fn sample(line: &str) -> (String, Labels, f64) {
    let (start, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let (name, inside) = match start.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}').unwrap_or_else(|| panic!("no end of labels: {line}"))),
        None => (start, ""),
    };
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    let mut rest = inside;
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        // Nothing that we say has to be escaped.
        let (value, after) = quoted.split_once('"').filter(|(value, _)| !value.contains('\\')).unwrap_or_else(|| panic!("no value: {line}"));
        assert!(is_name(label) && labels.insert(label.to_owned(), value.to_owned()).is_none(), "{line}");
        rest = if after.is_empty() { after } else { after.strip_prefix(',').filter(|rest| !rest.is_empty()).unwrap_or_else(|| panic!("{line}")) };
    }
    (name.to_owned(), labels, value)
}

/// Buckets grow, the last one has no bound, and it is the count.
fn assert_is_histogram(name: &str, family: &Family) {
    let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    let (mut counts, mut sums) = (BTreeMap::new(), BTreeSet::new());
    for (sample, labels, value) in &family.samples {
        let mut labels = labels.clone();
        if sample.ends_with("_bucket") {
            let bound = labels.remove("le").unwrap_or_else(|| panic!("{sample} without a bound"));
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            series.entry(labels).or_default().push((bound, *value));
        } else if sample.ends_with("_count") {
            counts.insert(labels, *value);
        } else {
            sums.insert(labels);
        }
    }
    assert!(series.keys().eq(counts.keys()) && series.keys().eq(sums.iter()), "{name}: parts are missing");
    for (labels, buckets) in series {
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name} {labels:?}: {buckets:?}");
        assert_eq!(buckets.last().copied(), Some((f64::INFINITY, counts[&labels])), "{name} {labels:?}");
    }
}
