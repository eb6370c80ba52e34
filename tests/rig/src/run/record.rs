//! What one run of a machine brought: each job's output, its ending, and the count of tests.

use std::time::{Duration, Instant};

use crate::image::Reading;
use crate::libtest::{self, Tally};
use crate::protocol::{Ending, Event, Job, Stream};

/// One job's part of a run.
#[derive(Clone, Debug)]
pub(crate) struct JobRecord {
    pub(crate) name: String,
    reading: Reading,
    /// What it wrote, in the order in which the host heard of it.
    pub(crate) output: Vec<(Stream, String)>,
    /// The same of a try that the emulator has failed.
    pub(crate) first_try: Vec<(Stream, String)>,
    started: Option<Instant>,
    /// How it ended and after how long; none if the machine ended first.
    pub(crate) ended: Option<(Ending, Duration)>,
}

/// A whole run.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) jobs: Vec<JobRecord>,
    /// What went wrong beside the jobs.
    pub(crate) complaints: Vec<String>,
    /// The machine's kernel, once its user space was up.
    pub(crate) kernel: Option<String>,
}

impl Record {
    /// A run in which nothing has happened.
    pub(crate) fn new(jobs: &[Job], readings: &[Reading]) -> Self {
        let jobs = jobs.iter().zip(readings).map(|(job, reading)| JobRecord {
            name: job.name.clone(),
            reading: *reading,
            output: Vec::new(),
            first_try: Vec::new(),
            started: None,
            ended: None,
        });
        Self { jobs: jobs.collect(), complaints: Vec::new(), kernel: None }
    }

    /// Takes in what the machine said. Returns the job that has ended by it, if one has.
    pub(crate) fn take(&mut self, event: Event) -> Option<&JobRecord> {
        match event {
            Event::Ready { kernel, kvm } => {
                self.kernel = Some(kernel);
                if !kvm {
                    self.complaints.push("the machine has no /dev/kvm".to_owned());
                }
            }
            Event::Complaint(text) => self.complaints.push(text),
            Event::Started(index) => self.jobs.get_mut(index)?.started = Some(Instant::now()),
            Event::Output(index, stream, line) => {
                self.jobs.get_mut(index)?.output.push((stream, line));
            }
            Event::Failed(index, evidence) => {
                let job = self.jobs.get_mut(index)?;
                let begun = std::mem::take(&mut job.output);
                job.first_try.extend(begun);
                self.complaints.push(format!(
                    "{}: the emulator delivered an interrupt twice, and the job failed: once more. {evidence}",
                    job.name
                ));
            }
            Event::Ended(index, ending) => {
                let job = self.jobs.get_mut(index)?;
                let took = job.started.map(|started| started.elapsed()).unwrap_or_default();
                job.ended = Some((ending, took));
                return Some(job);
            }
            Event::Alive | Event::Finished => {}
        }
        None
    }

    /// All jobs' tests.
    pub(crate) fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        for job in &self.jobs {
            sum += job.tally();
        }
        sum
    }

    /// The job that is running.
    pub(crate) fn running(&self) -> Option<(usize, &JobRecord)> {
        let running = |job: &JobRecord| job.started.is_some() && job.ended.is_none();
        self.jobs.iter().enumerate().find(|(_, job)| running(job))
    }
}

impl JobRecord {
    /// The job's tests. A job that did not end well has at least one failure, whatever it said.
    pub(crate) fn tally(&self) -> Tally {
        let good = matches!(self.ended, Some((Ending::Exit(0), _)));
        let counted = match self.reading {
            Reading::Harness => libtest::tally(self.output.iter().map(|(_, line)| line.as_str())),
            Reading::ExitCode | Reading::Measurement => {
                good.then_some(Tally { passed: 1, failed: 0, skipped: 0 })
            }
        };
        let mut tally = counted.unwrap_or_default();
        if tally.failed == 0 && (!good || counted.is_none()) {
            tally.failed = 1;
        }
        tally
    }

    /// What a measurement has to say.
    pub(crate) fn result(&self) -> impl Iterator<Item = &str> {
        let lines = self.output.iter().filter(|(stream, _)| *stream == Stream::Out);
        lines.filter(|_| self.reading == Reading::Measurement).map(|(_, line)| line.as_str())
    }

    /// In words, for a job that did not end well.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &self.ended {
            Some((Ending::Exit(0), _)) if self.tally().failed == 0 => None,
            Some((Ending::Exit(code), _)) => Some(format!("exit code {code}")),
            Some((Ending::Signal(signal), _)) => Some(format!("killed by signal {signal}")),
            Some((Ending::TimedOut, after)) => {
                Some(format!("killed after {} s without an end", after.as_secs()))
            }
            Some((Ending::NotStarted(why), _)) => Some(format!("did not start: {why}")),
            None => Some("the machine ended before it".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(reading: Reading) -> Record {
        let job = Job {
            name: "job".into(),
            command: vec!["true".into()],
            directory: "/".into(),
            environment: Vec::new(),
            limit: Duration::from_secs(1),
            repeatable: true,
        };
        Record::new(&[job], &[reading])
    }

    fn run(reading: Reading, lines: &[&str], ending: Option<Ending>) -> Tally {
        let mut record = record(reading);
        record.take(Event::Started(0));
        for line in lines {
            record.take(Event::Output(0, Stream::Out, (*line).to_owned()));
        }
        if let Some(ending) = ending {
            record.take(Event::Ended(0, ending));
        }
        record.tally()
    }

    const FINE: &str = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";

    #[test]
    fn a_job_that_ends_well_counts_what_it_says() {
        let three = Tally { passed: 3, failed: 0, skipped: 0 };
        assert_eq!(run(Reading::Harness, &[FINE], Some(Ending::Exit(0))), three);
        let one = Tally { passed: 1, failed: 0, skipped: 0 };
        assert_eq!(run(Reading::ExitCode, &[], Some(Ending::Exit(0))), one);
    }

    #[test]
    fn a_job_that_ends_badly_has_failed_whatever_it_said() {
        for ending in [
            Some(Ending::Exit(101)),
            Some(Ending::Signal(11)),
            Some(Ending::TimedOut),
            Some(Ending::NotStarted("no".into())),
            None,
        ] {
            assert_eq!(run(Reading::Harness, &[FINE], ending.clone()).failed, 1, "{ending:?}");
            assert_eq!(run(Reading::ExitCode, &[], ending.clone()).failed, 1, "{ending:?}");
        }
    }

    #[test]
    fn a_test_program_without_a_result_has_failed_even_with_exit_code_0() {
        assert_eq!(run(Reading::Harness, &["hello"], Some(Ending::Exit(0))).failed, 1);
    }

    #[test]
    fn only_the_second_try_of_a_job_that_the_emulator_failed_counts() {
        let mut record = record(Reading::Harness);
        record.take(Event::Started(0));
        record.take(Event::Output(0, Stream::Out, FINE.replace("3 passed; 0", "2 passed; 1")));
        record.take(Event::Failed(0, "intr_info 0x000003fb".into()));
        record.take(Event::Output(0, Stream::Out, FINE.to_owned()));
        record.take(Event::Ended(0, Ending::Exit(0)));
        assert_eq!(record.tally(), Tally { passed: 3, failed: 0, skipped: 0 });
        assert_eq!(record.jobs[0].first_try.len(), 1);
        assert!(record.complaints[0].contains("0x000003fb"));
    }

    #[test]
    fn events_of_jobs_that_are_not_in_the_plan_change_nothing() {
        let mut record = record(Reading::ExitCode);
        assert!(record.take(Event::Ended(7, Ending::Exit(0))).is_none());
        record.take(Event::Started(7));
        record.take(Event::Output(7, Stream::Out, "x".into()));
        assert!(record.jobs[0].output.is_empty() && record.running().is_none());
    }
}
