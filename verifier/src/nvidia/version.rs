//! The order of NVIDIA's version numbers: groups between dots, compared as numbers. Driver versions
//! are decimal, VBIOS versions hexadecimal.

/// Whether `version` is `floor` or later. A missing group counts as zero; what is no version is
/// never late enough.
pub fn at_least(version: &str, floor: &str, radix: u32) -> bool {
    let (Some(mut version), Some(mut floor)) = (groups(version, radix), groups(floor, radix))
    else {
        return false;
    };
    let length = version.len().max(floor.len());
    version.resize(length, 0);
    floor.resize(length, 0);
    version >= floor
}

fn groups(version: &str, radix: u32) -> Option<Vec<u32>> {
    version.split('.').map(|group| u32::from_str_radix(group, radix).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_compare_as_numbers_and_not_as_text() {
        assert!(at_least("550.90.07", "550.9", 10));
        assert!(!at_least("535.86.09", "550", 10));
        assert!(at_least("96.00.9F.00.01", "96.00.5E.00.01", 16));
        assert!(!at_least("96.00.5E.00.01", "96.00.5E.00.02", 16));
        assert!(at_least("545.00", "545", 10));
    }

    #[test]
    fn what_is_no_version_is_never_late_enough() {
        assert!(!at_least("", "0", 10));
        assert!(!at_least("999.x", "1", 10));
        assert!(!at_least("999", "", 10));
    }
}
