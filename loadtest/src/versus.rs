//! Two reports of the same scenario, or several of each: ratios and their spread.

use std::io::{self, Write};

use crate::report::{Number, Report, median, show};

/// A figure of both, and the ratio of the first to the second.
#[derive(Debug)]
struct Row {
    name: String,
    unit: String,
    first: f64,
    second: f64,
    ratio: f64,
    least: f64,
    most: f64,
}

/// Compares rounds that took turns: `pairs` of reports of the same scenario.
pub(crate) fn print(pairs: &[(Report, Report)], out: &mut impl Write) -> io::Result<()> {
    let Some((first, second)) = pairs.first() else { return Ok(()) };
    let times = match pairs.len() {
        1 => String::new(),
        n => format!(" · medians of {n} rounds that took turns"),
    };
    writeln!(out, "{} · {} against {}{times}", first.scenario, first.server, second.server)?;
    if first.settings != second.settings {
        writeln!(out, "  the settings differ: {:?} and {:?}", first.settings, second.settings)?;
    }
    writeln!(out, "  {:<40} {:>12} {:>12}  ratio", "", first.server, second.server)?;
    for row in rows(pairs) {
        let spread = if pairs.len() > 1 {
            format!(" ({:.2} to {:.2})", row.least, row.most)
        } else {
            String::new()
        };
        let name = format!("{} [{}]", row.name, row.unit);
        let (a, b) = (show(row.first), show(row.second));
        writeln!(out, "  {name:<40} {a:>12} {b:>12}  {:.2}{spread}", row.ratio)?;
    }
    for report in pairs.iter().flat_map(|(a, b)| [a, b]).filter(|report| !report.is_exact()) {
        writeln!(out, "  {} was not exact: {:?}", report.server, report.deliveries)?;
    }
    Ok(())
}

fn rows(pairs: &[(Report, Report)]) -> Vec<Row> {
    let Some((first, _)) = pairs.first() else { return Vec::new() };
    let row = |Number { name, unit, .. }: &Number| {
        let both = |(a, b): &(Report, Report)| Some((a.get(name)?, b.get(name)?));
        let values: Vec<(f64, f64)> = pairs.iter().filter_map(both).collect();
        let mut ratios: Vec<f64> = values.iter().map(|(a, b)| a / b).collect();
        (!values.is_empty()).then(|| Row {
            name: name.clone(),
            unit: unit.clone(),
            first: median(&mut values.iter().map(|v| v.0).collect::<Vec<_>>()),
            second: median(&mut values.iter().map(|v| v.1).collect::<Vec<_>>()),
            ratio: median(&mut ratios),
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            most: ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    };
    first.numbers.iter().filter_map(row).collect()
}

/// The median of the ratios of one figure, with the least and the most.
pub(crate) fn ratio(pairs: &[(Report, Report)], name: &str) -> Option<(f64, f64, f64)> {
    let row = rows(pairs).into_iter().find(|row| row.name == name)?;
    Some((row.ratio, row.least, row.most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(server: &str, value: f64) -> Report {
        let mut report = Report::new("fanout", server);
        report.number("CPU", value, "us");
        report
    }

    #[test]
    fn ratios_are_those_of_rounds() {
        // The machine was slower in the second round: the ratio does not care.
        let pairs: Vec<_> = [(1.0, 2.0), (10.0, 20.0), (3.0, 5.0)]
            .map(|(a, b)| (report("a", a), report("b", b)))
            .into();
        assert_eq!(ratio(&pairs, "CPU"), Some((0.5, 0.5, 0.6)));
        assert_eq!(ratio(&pairs, "other"), None);
        let mut text = Vec::new();
        print(&pairs, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("0.50 (0.50 to 0.60)"), "{text}");
    }
}
