//! Directories: made, looked into, walked through, removed.

#![forbid(unsafe_code)]

use client::{Error, File, Op, Output};
use system_tests::{House, Plan};
use wire::nfs3::{FileType, Sattr, Status};

fn mkdir(house: &mut House, dir: File, name: &str) -> Result<File, Error> {
    let attributes = Sattr { mode: Some(0o750), ..Sattr::default() }.into();
    let done = house.op(Op::Mkdir { dir, name: name.into(), attributes }, None);
    match done.result? {
        Output::Opened { file, attributes: Some(found) } => {
            assert_eq!((found.file_type, found.mode & 0o777), (FileType::Directory, 0o750));
            Ok(file)
        }
        other => panic!("MKDIR gave {other:?}"),
    }
}

fn remove(house: &mut House, op: Op) -> Result<(), Status> {
    match house.op(op, None).result {
        Ok(output) => {
            assert_eq!(output, Output::Nothing);
            Ok(())
        }
        Err(Error::Nfs { status, .. }) => Err(status),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_path_is_walked_as_fast_as_the_server_answers() {
    let mut house = House::build(Plan::default());
    let mut dir = house.client.root(house.mount).unwrap();
    for _ in 0..16 {
        dir = mkdir(&mut house, dir, "d").unwrap();
    }
    let mut took_ns = |op| {
        let before = house.now().0;
        house.op(op, None).result.unwrap();
        house.now().0 - before
    };
    let answer_ns = took_ns(Op::Getattr { file: dir });
    let walk_ns = took_ns(Op::Open { path: ["d"; 16].join("/"), create: None });
    assert!(walk_ns <= 20 * answer_ns, "{walk_ns} ns, where one answer takes {answer_ns}");
}

#[test]
fn directories_are_made_walked_through_and_removed_when_empty() {
    let mut house = House::build(Plan::default());
    let root = house.client.root(house.mount).unwrap();
    let upper = mkdir(&mut house, root, "upper").unwrap();
    let lower = mkdir(&mut house, upper, "lower").unwrap();
    house.create("upper/lower/file");
    let exists = mkdir(&mut house, root, "upper").unwrap_err();
    assert!(exists.to_string().contains("MKDIR") && exists.errno() == libc::EEXIST, "{exists}");

    let rmdir = |dir, name: &str| Op::Rmdir { dir, name: name.into() };
    let unlink = |dir, name: &str| Op::Remove { dir, name: name.into() };
    assert_eq!(remove(&mut house, rmdir(upper, "lower")), Err(Status::NotEmpty));
    assert_eq!(remove(&mut house, unlink(root, "upper")), Err(Status::IsDir));
    assert_eq!(remove(&mut house, rmdir(lower, "file")), Err(Status::NotDir));
    assert_eq!(remove(&mut house, unlink(lower, "file")), Ok(()));
    assert_eq!(remove(&mut house, rmdir(upper, "lower")), Ok(()));
    assert_eq!(remove(&mut house, rmdir(root, "upper")), Ok(()));
    assert_eq!(remove(&mut house, rmdir(root, "upper")), Err(Status::NoEnt));
    let bad = house.op(rmdir(root, "a/b"), None).result.unwrap_err();
    assert!(matches!(bad, Error::Name { .. }), "{bad}");
}
