//! What was found: a line for each check, with the commands that heal it, or JSON for machines.

use std::{io::Write, process::ExitCode};

use serde_json::{Value, json};

use super::super::Failure;

/// How it stands with what was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Ok,
    /// It could not be tested.
    Skip,
    /// It works, but would be better otherwise.
    Warn,
    /// It does not work.
    Fail,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Skip => "skip",
            Level::Warn => "warn",
            Level::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What was looked at, in a word or two.
    pub(super) check: &'static str,
    /// What it is; where it is not well, what it should be and why.
    pub(super) text: String,
    /// Commands or lines of configuration. Each heals it, or is for one of several programs.
    pub(super) fixes: Vec<String>,
}

impl Finding {
    fn new(level: Level, check: &'static str, text: impl Into<String>) -> Self {
        Finding { level, check, text: text.into(), fixes: Vec::new() }
    }

    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Finding::new(Level::Ok, check, text)
    }

    pub(super) fn skip(check: &'static str, text: impl Into<String>) -> Self {
        Finding::new(Level::Skip, check, text)
    }

    pub(super) fn warn(check: &'static str, text: impl Into<String>) -> Self {
        Finding::new(Level::Warn, check, text)
    }

    pub(super) fn fail(check: &'static str, text: impl Into<String>) -> Self {
        Finding::new(Level::Fail, check, text)
    }

    pub(super) fn fixed_by(mut self, fixes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.fixes.extend(fixes.into_iter().map(Into::into));
        self
    }

    fn as_json(&self) -> Value {
        let Finding { level, check, text, fixes } = self;
        json!({ "level": level.name(), "check": check, "text": text, "fixes": fixes })
    }
}

/// Where findings go: as lines at once, as JSON at the end.
pub(super) struct Report<'a> {
    output: &'a mut dyn Write,
    is_json: bool,
    findings: Vec<Finding>,
}

impl<'a> Report<'a> {
    pub(super) fn new(output: &'a mut dyn Write, is_json: bool) -> Self {
        Report { output, is_json, findings: Vec::new() }
    }

    pub(super) fn add(&mut self, finding: Finding) -> Result<(), Failure> {
        if !self.is_json {
            let Finding { level, check, text, fixes } = &finding;
            writeln!(self.output, "{:<4}  {check}: {text}", level.name())?;
            for fix in fixes {
                writeln!(self.output, "      fix: {fix}")?;
            }
            self.output.flush()?;
        }
        self.findings.push(finding);
        Ok(())
    }

    pub(super) fn add_all(
        &mut self,
        findings: impl IntoIterator<Item = Finding>,
    ) -> Result<(), Failure> {
        findings.into_iter().try_for_each(|finding| self.add(finding))
    }

    /// Sums up. The exit code says whether anything fails.
    pub(super) fn end(self) -> Result<ExitCode, Failure> {
        let count = |level| self.findings.iter().filter(|finding| finding.level == level).count();
        let [fails, warns, skips] = [Level::Fail, Level::Warn, Level::Skip].map(count);
        if self.is_json {
            let findings: Vec<_> = self.findings.iter().map(Finding::as_json).collect();
            let told = json!({ "ok": fails == 0, "findings": findings });
            writeln!(self.output, "{told}")?;
        } else {
            let of = self.findings.len();
            let untested = if skips == 0 { String::new() } else { format!(", {skips} not tested") };
            writeln!(self.output, "\n{of} checks: {fails} fail, {warns} warn{untested}")?;
        }
        Ok(ExitCode::from(u8::from(fails > 0)))
    }
}
