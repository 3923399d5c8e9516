//! RDMA devices and their connection manager.

use std::fmt::Write;
use std::path::Path;

use super::{Check, Verdict};

/// The connection manager's device.
const CM_DEVICE: &str = "/dev/infiniband/rdma_cm";

/// Those that libibverbs finds, and whether one could be used.
pub(super) fn devices() -> Check {
    let what = "devices";
    let all = match verbs::ibv::devices() {
        Ok(all) => all,
        Err(error) => {
            let cure = Some(format!(
                "modprobe rdma_rxe && rdma link add rxe0 type rxe netdev {}    (software RDMA; as root)",
                first_netdev().as_deref().unwrap_or("eth0")
            ));
            return Check { what, verdict: Verdict::Missing, found: error.to_string(), cure };
        }
    };
    let active = all.iter().any(|device| {
        device.info.is_ok() && device.ports.iter().any(|port| port.state == "active")
    });
    let found = all.iter().map(describe).collect::<Vec<_>>().join("\n");
    if active {
        return Check { what, verdict: Verdict::Ok, found, cure: None };
    }
    let port = all.iter().flat_map(|device| &device.ports).find_map(|port| port.netdev.clone());
    let cure = port.map(|netdev| format!("ip link set {netdev} up    (as root)"));
    let found = format!("{found}\nno port is active");
    Check { what, verdict: Verdict::Missing, found, cure }
}

fn describe(device: &verbs::ibv::DeviceSummary) -> String {
    let mut text = format!("{} ({})", device.name, device.transport);
    match &device.info {
        Ok(info) => {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {} WRs a queue, {} SGEs", info.max_qp_wr, info.max_sge);
            if info.memory_window_2b {
                text.push_str(", type-2B windows");
            }
        }
        Err(error) => {
            let _ = write!(text, ": {error}");
        }
    }
    for port in &device.ports {
        let netdev = port.netdev.as_deref().unwrap_or("no interface");
        let _ = write!(
            text,
            "; port {} {} on {netdev}, {}, MTU {}",
            port.number, port.state, port.link_layer, port.mtu_bytes
        );
    }
    text
}

/// Whether connections can be made: librdmacm needs its device.
pub(super) fn connection_manager() -> Check {
    let what = "rdma_cm";
    let open = std::fs::OpenOptions::new().read(true).write(true).open(CM_DEVICE);
    match open {
        Ok(_) => {
            let found = format!("{CM_DEVICE} can be opened");
            Check { what, verdict: Verdict::Ok, found, cure: None }
        }
        Err(error) => {
            let cure = match Path::new(CM_DEVICE).exists() {
                true => format!("chmod a+rw {CM_DEVICE}    (as root; or run as root)"),
                false => "modprobe rdma_ucm    (as root)".to_owned(),
            };
            let found = format!("{CM_DEVICE}: {error}");
            Check { what, verdict: Verdict::Missing, found, cure: Some(cure) }
        }
    }
}

/// A network interface that a software device could stand on.
fn first_netdev() -> Option<String> {
    let entries = std::fs::read_dir("/sys/class/net").ok()?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| {
            let device = Path::new("/sys/class/net").join(name);
            let up = std::fs::read_to_string(device.join("operstate")).unwrap_or_default();
            name != "lo" && matches!(up.trim(), "up" | "unknown")
        })
        .collect();
    names.sort();
    names.into_iter().next()
}
