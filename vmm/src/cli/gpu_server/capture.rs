//! A capture that ends, with a warning, where it can no longer be written: a full disk is no reason
//! to stop serving.

use crate::cli::output::Progress;
use ravelin_gpu_model::Carried;
use ravelin_spdm_capture::{Error, LinkType, Writer};
use std::fs::File;
use std::path::{Path, PathBuf};

/// What went over the wire, for as long as it can be written.
pub(super) struct Capture {
    path: PathBuf,
    writer: Option<Writer<File>>,
}

impl Capture {
    /// A capture in this file.
    pub(super) fn create(path: &Path, link: LinkType) -> Result<Self, Error> {
        Ok(Self { path: path.into(), writer: Some(Writer::create(path, link)?) })
    }

    /// Adds a request and its response.
    pub(super) fn add(&mut self, carried: &Carried) {
        let Some(writer) = &mut self.writer else { return };
        let added = writer.add(&carried.request).and_then(|()| writer.add(&carried.response));
        if let Err(error) = added {
            self.writer = None;
            let path = self.path.display();
            Progress::new().warn(&format!("the capture {path} ends here: {error}"));
        }
    }
}
