//! Describes the machine of the benchmark. The details are known on Linux only. On other systems, they are "unknown".

use std::fs;

/// Returns the cores, the processor, the memory and the operating system, in one line.
pub fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".into());
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches("kB").trim().parse::<u64>().ok())
        .map_or_else(|| "unknown memory".into(), |kib| format!("{:.1} GiB of memory", kib as f64 / f64::from(1 << 20)));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split(['-', '\n']).next().unwrap_or_default();
    let system = format!("{} {kernel}", std::env::consts::OS);
    format!("{cores} cores of {cpu} ({}), {memory}, {}", std::env::consts::ARCH, system.trim())
}

/// Returns the average number of threads that ran or waited in the last minute.
pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// Returns the resident memory of a process, in bytes.
pub fn resident(pid: u32) -> Option<u64> {
    let kib: u64 = field(&format!("/proc/{pid}/status"), "VmRSS")?.trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
