//! Faults of the local disk: spilled data beyond its limit, a full disk, and a spill folder that cannot be used.
//! DataFusion reports them as errors of I/O, and names settings that nobody can change.

use std::error::Error as StdError;
use std::io;
use std::iter::successors;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

use crate::{Error, ErrorKind};

/// A part of DataFusion's message about spilled data beyond its limit.
const SPILL_LIMIT: &str = "max_temp_directory_size";

/// Returns the error for a fault of the local disk among the causes of an error of DataFusion or Arrow. `None` if there
/// is no such fault.
pub fn disk_error(error: &(dyn StdError + 'static)) -> Option<Error> {
    let fault = causes(error).find_map(io_fault)?;
    // The files of a principal report that its share is used up.
    if let Some(ours) = fault.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return Some(ours.flat());
    }
    let said = fault.to_string();
    if said.contains(SPILL_LIMIT) {
        return Some(Error::new(
            ErrorKind::ResourceExhausted,
            "the disk space for the spilled data of all queries (limits.spill) is used up: try again later, or reduce \
             the query",
        ));
    }
    // DataFusion may have put the error of the disk into another one.
    let is_full = causes(fault).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(means_full);
    let (kind, what) = match is_full {
        true => (ErrorKind::ResourceExhausted, "the disk of the spill folder is full: try again later"),
        false => (ErrorKind::SiteUnavailable, "the spill folder cannot be used"),
    };
    Some(Error::new(kind, what).for_owner(format!("{what}: {said}")))
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |cause| (**cause).source())
}

/// Returns the error of I/O that an error of DataFusion or Arrow contains directly.
fn io_fault<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    match (cause.downcast_ref::<DataFusionError>(), cause.downcast_ref::<ArrowError>()) {
        (Some(DataFusionError::IoError(fault)), _) | (_, Some(ArrowError::IoError(_, fault))) => Some(fault),
        _ => None,
    }
}

fn means_full(fault: &io::Error) -> bool {
    matches!(fault.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use datafusion::execution::disk_manager::DiskManagerBuilder;

    use super::*;

    fn of_arrow(fault: io::Error) -> DataFusionError {
        DataFusionError::ArrowError(Box::new(ArrowError::from(fault)), None)
    }

    #[test]
    fn the_limit_of_spilled_data_is_named_as_ours() {
        let disk = Arc::new(DiskManagerBuilder::default().with_max_temp_directory_size(10).build().unwrap());
        let mut writer = disk.create_tmp_file("a test").unwrap().open_writer().unwrap();
        let fault = io::Write::write_all(&mut writer, &[0; 20]).unwrap_err();
        let error = disk_error(&of_arrow(fault).context("a sort")).unwrap();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert!(error.chain().contains("limits.spill"), "{error}");
        assert!(!error.owner_chain().contains("datafusion"), "{}", error.owner_chain());
    }

    #[test]
    fn a_full_disk_and_a_lost_folder_show_their_path_to_the_owner() {
        let full = io::Error::from(DataFusionError::IoError(io::ErrorKind::StorageFull.into()));
        let error = disk_error(&of_arrow(full)).unwrap();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert!(error.chain().contains("is full"), "{error}");
        let lost = DataFusionError::IoError(io::Error::new(io::ErrorKind::NotFound, "no folder /srv/spill"));
        let error = disk_error(&lost).unwrap();
        assert_eq!(error.kind(), ErrorKind::SiteUnavailable);
        assert!(!error.chain().contains("/srv") && error.owner_chain().contains("/srv/spill"), "{error}");
        assert!(disk_error(&DataFusionError::Plan("IO error".into())).is_none());
    }
}
