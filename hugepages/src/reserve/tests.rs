use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::*;
use crate::testing::{CAP_DAC_OVERRIDE, huge_pages, without_capability};

/// A sysfs with 2 MiB pages on nodes 0 and 1, and 1 GiB pages on node 1 only.
fn two_nodes() -> (TempDir, Sysfs) {
    let root = tempfile::tempdir().expect("a temporary directory");
    let sysfs = Sysfs::at(root.path());
    counters(&sysfs.directory(PageSize::Huge2M, None), 30, 12, 2);
    counters(&sysfs.directory(PageSize::Huge1G, None), 1, 1, 0);
    counters(&sysfs.directory(PageSize::Huge2M, Some(0)), 20, 8, 0);
    counters(&sysfs.directory(PageSize::Huge2M, Some(1)), 10, 4, 2);
    counters(&sysfs.directory(PageSize::Huge1G, Some(1)), 1, 1, 0);
    fs::write(sysfs.nodes_directory().join("has_memory"), "0-1\n").expect("writable");
    (root, sysfs)
}

fn counters(directory: &Path, total: u64, free: u64, surplus: u64) {
    fs::create_dir_all(directory).expect("writable");
    let values = [("nr", total), ("free", free), ("surplus", surplus), ("resv", 3)];
    for (name, value) in values {
        let file = directory.join(format!("{name}_hugepages"));
        fs::write(file, format!("{value}\n")).expect("writable");
    }
}

#[test]
fn status_lists_every_size_on_every_node() {
    let (_root, sysfs) = two_nodes();
    let row = |node, page_size, total, free, surplus| NodeStatus {
        node,
        page_size,
        total,
        free,
        surplus,
    };
    let expected = [
        row(0, PageSize::Huge2M, 20, 8, 0),
        row(1, PageSize::Huge2M, 10, 4, 2),
        row(1, PageSize::Huge1G, 1, 1, 0),
    ];
    assert_eq!(sysfs.status().expect("readable"), expected);
}

#[test]
fn a_kernel_without_numa_reports_node_zero() {
    let root = tempfile::tempdir().expect("a temporary directory");
    let sysfs = Sysfs::at(root.path());
    counters(&sysfs.directory(PageSize::Huge2M, None), 5, 5, 0);
    let status = sysfs.status().expect("readable");
    assert_eq!(status.len(), 1);
    assert_eq!((status[0].node, status[0].total), (0, 5));
}

#[test]
fn pages_promised_to_others_do_not_count_as_free() {
    let (_root, sysfs) = two_nodes();
    let machine = sysfs.counts(PageSize::Huge2M, None).expect("readable");
    assert_eq!(machine.unpromised(), 12 - 3);
}

#[test]
fn reserving_writes_to_the_machine_or_to_one_node() {
    let (_root, sysfs) = two_nodes();
    let reserved = sysfs.reserve(64, PageSize::Huge2M, None).expect("writable");
    assert_eq!(reserved, Reserved { page_size: PageSize::Huge2M, asked: 64, got: 64 });
    sysfs.reserve(4, PageSize::Huge1G, Some(1)).expect("writable").to_string();
    let total = |size, node| sysfs.counts(size, node).expect("readable").total;
    assert_eq!(total(PageSize::Huge2M, None), 64);
    assert_eq!(total(PageSize::Huge2M, Some(0)), 20, "a node that was not asked");
    assert_eq!(total(PageSize::Huge1G, Some(1)), 4);
}

/// The kernel rounds a request down in silence; a named pipe plays the kernel.
#[test]
fn fewer_pages_than_asked_are_not_passed_over() {
    let (_root, sysfs) = two_nodes();
    let file = sysfs.directory(PageSize::Huge2M, None).join("nr_hugepages");
    fs::remove_file(&file).expect("writable");
    mkfifo(&file, Mode::S_IRUSR | Mode::S_IWUSR).expect("a named pipe");
    let kernel = std::thread::spawn({
        let file = file.clone();
        move || {
            let mut asked = String::new();
            fs::File::open(&file).and_then(|mut f| f.read_to_string(&mut asked)).expect("asked");
            let mut answer = fs::OpenOptions::new().write(true).open(&file).expect("answer");
            answer.write_all(b"37\n").expect("answer");
            asked
        }
    });
    let reserved = sysfs.reserve(100, PageSize::Huge2M, None).expect("it worked in part");
    assert_eq!((reserved.asked, reserved.got), (100, 37));
    assert_eq!(kernel.join().expect("no panic"), "100");
    let message = reserved.to_string();
    assert!(message.starts_with("only 37 of 100 2 MiB huge pages reserved"), "{message}");
    assert!(message.contains("fragmented"), "{message}");
}

#[test]
fn a_user_who_may_not_is_told_the_file_and_to_be_root() {
    let (_root, sysfs) = two_nodes();
    let file = sysfs.directory(PageSize::Huge2M, None).join("nr_hugepages");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).expect("ours");
    let result = without_capability(CAP_DAC_OVERRIDE, || sysfs.reserve(1, PageSize::Huge2M, None));
    let message = result.expect_err("read-only").to_string();
    assert!(message.contains(&file.display().to_string()), "{message}");
    assert!(message.contains("run as root"), "{message}");
    assert_eq!(fs::read_to_string(&file).expect("readable"), "30\n", "it wrote all the same");
}

#[test]
fn nodes_and_sizes_that_do_not_exist_are_named() {
    let (_root, sysfs) = two_nodes();
    let why = |size, node| sysfs.reserve(1, size, node).expect_err("absent").to_string();
    let message = why(PageSize::Huge2M, Some(7));
    assert!(message.contains("NUMA node 7") && message.contains("0-1"), "{message}");
    let message = why(PageSize::Huge1G, Some(0));
    assert!(message.contains("no 1 GiB huge pages"), "{message}");
}

#[test]
fn a_counter_that_is_no_number_is_an_error_not_a_panic() {
    let (_root, sysfs) = two_nodes();
    let file = sysfs.directory(PageSize::Huge2M, Some(1)).join("free_hugepages");
    fs::write(&file, "many\n").expect("writable");
    let message = sysfs.status().expect_err("no number").to_string();
    assert!(message.contains("\"many\"") && message.contains("node1"), "{message}");
}

#[test]
fn the_real_kernel_agrees_with_itself() {
    let _counting = huge_pages(0);
    let per_node = status().expect("readable");
    let total: u64 =
        per_node.iter().filter(|s| s.page_size == PageSize::Huge2M).map(|s| s.total).sum();
    let machine = Sysfs::default().counts(PageSize::Huge2M, None).expect("readable");
    assert_eq!(total, machine.total);
}
