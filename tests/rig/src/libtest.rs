//! What Rust's test harness says at the end of a run, and what the project's tests say when they
//! skip themselves.

/// Counted tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Tally {
    /// All tests together.
    pub(crate) fn total(self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// How a loud skip begins, on a line of its own.
const SKIP: &str = "SKIPPED";

/// Counts the tests of one test program. A test that skips itself passes in the harness's eyes and
/// says `SKIPPED`. In the machine there is all that a test may need, so there it has failed. None
/// if the harness never came to its result.
pub(crate) fn tally<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Tally> {
    let mut result = None;
    let mut skips = 0;
    for line in lines {
        if line.contains(SKIP) {
            skips += 1;
        }
        result = summary(line).or(result);
    }
    let mut tally: Tally = result?;
    let skips = tally.passed.min(skips);
    tally.passed -= skips;
    tally.failed += skips;
    Some(tally)
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.1s`
fn summary(line: &str) -> Option<Tally> {
    let (_, counts) = line.trim().strip_prefix("test result: ")?.split_once(". ")?;
    let mut tally = Tally::default();
    for count in counts.split("; ") {
        let Some((number, what)) = count.split_once(' ') else { continue };
        match what {
            "passed" => tally.passed = number.parse().ok()?,
            "failed" => tally.failed = number.parse().ok()?,
            "ignored" => tally.skipped = number.parse().ok()?,
            _ => {}
        }
    }
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_harness_is_believed_and_ignored_tests_are_skipped_ones() {
        let output = "running 4 tests\ntest a ... ok\n\n\
            test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 7 filtered out; \
            finished in 0.10s\n";
        assert_eq!(tally(output.lines()), Some(Tally { passed: 2, failed: 1, skipped: 1 }));
    }

    #[test]
    fn a_test_that_skips_itself_has_failed_where_it_must_run() {
        let output = "SKIPPED a_guest_boots: no /dev/kvm\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished";
        assert_eq!(tally(output.lines()), Some(Tally { passed: 1, failed: 1, skipped: 0 }));
    }

    #[test]
    fn a_program_that_dies_before_its_result_has_none() {
        assert_eq!(tally("running 4 tests\ntest a ... ok\n".lines()), None);
        assert_eq!(tally("test result: unheard of".lines()), None);
    }
}
