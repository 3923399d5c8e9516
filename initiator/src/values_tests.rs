use super::{Cores, Recovery, Registration, Size};

#[test]
fn sizes_have_the_suffixes_of_fio() {
    let bytes = |text: &str| text.parse::<Size>().map(|size| size.0);
    assert_eq!(bytes("4096"), Ok(4096));
    assert_eq!(bytes("4k"), Ok(4096));
    assert_eq!(bytes("1M"), Ok(1 << 20));
    assert_eq!(bytes("2g"), Ok(2 << 30));
    assert_eq!(bytes("2kib"), Ok(2000), "as fio has it, and job files");
    for bad in ["", "k", "4x", "-1", "4 k", "99999999999t"] {
        assert!(bytes(bad).is_err(), "{bad}");
    }
}

#[test]
fn lists_of_cores_are_numbers_and_ranges_without_repetition() {
    let cores = |text: &str| text.parse::<Cores>().map(|cores| cores.0);
    assert_eq!(cores("0"), Ok(vec![0]));
    assert_eq!(cores("3,0-1"), Ok(vec![3, 0, 1]));
    for bad in ["", "a", "1-0", "0,0", "0-2,1", "99999", "1,"] {
        assert!(cores(bad).is_err(), "{bad}");
    }
}

#[test]
fn registration_and_recovery_are_known_by_name() {
    let registration = |text: &str| text.parse::<Registration>().map(|value| value.0);
    assert_eq!(registration("auto"), Ok(None));
    assert_eq!(registration("window"), Ok(Some(rpcrdma::Registration::Window)));
    assert_eq!(registration("static"), Ok(Some(rpcrdma::Registration::Static)));
    let error = registration("frwr").expect_err("the kernel's way");
    assert!(error.contains("use auto, window or static"), "{error}");
    assert_eq!("softerr".parse::<Recovery>(), Ok(Recovery(rpcrdma::Recovery::SoftErr)));
    assert!("intr".parse::<Recovery>().is_err());
}
