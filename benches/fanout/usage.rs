//! What a process has used: processor time and memory, as the kernel counts them.

use std::process::Command;

/// What a process has used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Processor time, in user and kernel, in microseconds.
    pub(crate) cpu_us: f64,
    /// Memory it holds, in KiB.
    pub(crate) resident_kib: f64,
}

impl Usage {
    /// Of the process with this number.
    pub(crate) fn of(pid: u32) -> Self {
        let cpu_us = std::fs::read_dir(format!("/proc/{pid}/task"))
            .unwrap()
            .filter_map(|task| {
                // Nanoseconds on a core; `stat` counts in hundredths of a second only.
                let path = task.ok()?.path().join("schedstat");
                let text = std::fs::read_to_string(path).ok()?;
                text.split_whitespace().next()?.parse::<f64>().ok()
            })
            .sum::<f64>()
            / 1000.0;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident_kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or(f64::NAN);
        Self { cpu_us, resident_kib }
    }
}

/// Binds a process to one core, if there are two and the tool for it is there.
pub(crate) fn pin_to_core(pid: u32, core: usize) {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if cores < 2 {
        return;
    }
    let bound = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", &core.to_string(), &pid.to_string()])
        .output();
    if !bound.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: binding process {pid} to core {core} (no taskset)");
    }
}
