//! The text that Prometheus reads: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use super::Histogram;
use std::fmt::{Display, Write};

/// A page of metrics.
#[derive(Default)]
pub struct Text(String);

/// Labels and their values, as they stand between the braces.
pub struct Labels(String);

impl Labels {
    /// No labels.
    pub const NONE: Self = Self(String::new());

    /// These. The names are ours; values are escaped.
    pub fn of(labels: &[(&str, &str)]) -> Self {
        let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        Self(labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect::<Vec<_>>().join(","))
    }

    /// With one more.
    fn and(&self, name: &str, value: impl Display) -> Self {
        let comma = if self.0.is_empty() { "" } else { "," };
        Self(format!("{}{comma}{name}=\"{value}\"", self.0))
    }
}

impl Text {
    /// Numbers that only grow. Their name ends in `_total`.
    pub fn counter<V: Display>(&mut self, name: &str, about: &str, samples: impl IntoIterator<Item = (Labels, V)>) {
        self.family("counter", name, about, samples);
    }

    /// How things stand now.
    pub fn gauge<V: Display>(&mut self, name: &str, about: &str, samples: impl IntoIterator<Item = (Labels, V)>) {
        self.family("gauge", name, about, samples);
    }

    /// A single number of a kind.
    pub fn single(&mut self, name: &str, about: &str, value: impl Display) {
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        self.family(kind, name, about, [(Labels::NONE, value)]);
    }

    /// How values were spread.
    pub fn histogram<'a>(&mut self, name: &str, about: &str, samples: impl IntoIterator<Item = (Labels, &'a Histogram)>) {
        self.head("histogram", name, about);
        for (labels, histogram) in samples {
            let buckets = histogram.cumulated();
            for (bound, count) in &buckets {
                let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
                self.sample(&format!("{name}_bucket"), &labels.and("le", bound), count);
            }
            self.sample(&format!("{name}_sum"), &labels, histogram.sum());
            self.sample(&format!("{name}_count"), &labels, buckets.last().map_or(0, |(_, count)| *count));
        }
    }

    /// What was written.
    pub fn finish(self) -> String {
        self.0
    }

    fn family<V: Display>(&mut self, kind: &str, name: &str, about: &str, samples: impl IntoIterator<Item = (Labels, V)>) {
        self.head(kind, name, about);
        for (labels, value) in samples {
            self.sample(name, &labels, value);
        }
    }

    fn head(&mut self, kind: &str, name: &str, about: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {about}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, Labels(labels): &Labels, value: impl Display) {
        let _ = if labels.is_empty() { writeln!(self.0, "{name} {value}") } else { writeln!(self.0, "{name}{{{labels}}} {value}") };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_its_help_its_type_and_its_samples() {
        let mut text = Text::default();
        text.counter("a_total", "Of a kind.", [(Labels::of(&[("x", "1"), ("y", "\"\\\n")]), 7)]);
        text.single("b", "How many.", 1.5);
        assert_eq!(
            text.finish(),
            "# HELP a_total Of a kind.\n# TYPE a_total counter\na_total{x=\"1\",y=\"\\\"\\\\\\n\"} 7\n# HELP b How many.\n# TYPE b gauge\nb 1.5\n"
        );
    }

    #[test]
    fn a_histogram_ends_with_all_of_it() {
        let times = Histogram::seconds();
        times.observe(700);
        let mut text = Text::default();
        text.histogram("a_seconds", "How long.", [(Labels::of(&[("x", "1")]), &times)]);
        let text = text.finish();
        for line in [
            "a_seconds_bucket{x=\"1\",le=\"0.0005\"} 0",
            "a_seconds_bucket{x=\"1\",le=\"0.001\"} 1",
            "a_seconds_bucket{x=\"1\",le=\"+Inf\"} 1",
            "a_seconds_sum{x=\"1\"} 0.0007",
            "a_seconds_count{x=\"1\"} 1",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} is not in\n{text}");
        }
    }
}
