use super::*;

#[test]
fn sizes_read_naturally() {
    for (bytes, text) in [
        (0, "0 bytes"),
        (1000, "1000 bytes"),
        (4096, "4 KiB"),
        (1536, "1.5 KiB"),
        (2 << 20, "2 MiB"),
        (3 << 30, "3 GiB"),
        (u64::MAX, "17179869184.0 GiB"),
    ] {
        assert_eq!(Size(bytes).to_string(), text);
    }
}

#[test]
fn fields_are_found_in_both_shapes_of_meminfo() {
    let machine = "MemTotal:       1000 kB\nMemAvailable:    600 kB\n";
    assert_eq!(field(machine, "MemAvailable:"), Some(600 * 1024));
    let node = "Node 0 MemFree:  7 kB\nNode 0 Inactive(file): 1 kB\nNode 0 Active(file): 2 kB\n";
    assert_eq!(field(node, "Active(file):"), Some(2048));
    assert_eq!(field(node, "MemAvailable:"), None);
    assert_eq!(field("MemFree: lots\n", "MemFree:"), None);
}

#[test]
fn only_headings_of_smaps_start_a_mapping() {
    let heading = "7f1c40000000-7f1c40200000 rw-p 00000000 00:00 0";
    assert_eq!(mapping_start(heading), Some(0x7f1c_4000_0000));
    for line in ["Size:  4 kB", "VmFlags: rd wr mr mw me dc ac sd", "", "cafe-", "a-b"] {
        assert_eq!(mapping_start(line), None, "{line}");
    }
}

#[test]
fn this_machine_tells_its_memory() {
    assert!(memory_available(None).expect("MemAvailable since Linux 3.14") > 0);
    assert_eq!(memory_available(Some(4_000_000)), None);
}
