//! The cores that this process may use.

pub use core_affinity::CoreId;

/// One entry per core in the process's affinity mask, in order of their numbers.
pub fn available() -> Vec<CoreId> {
    let mut cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.sort_by_key(|core| core.id);
    cores
}
