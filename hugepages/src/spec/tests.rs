use super::*;

#[test]
fn policies_are_read_as_they_are_written() {
    for policy in [Policy::Required, Policy::Preferred, Policy::Off] {
        assert_eq!(policy.to_string().parse::<Policy>().expect("its own name"), policy);
    }
    assert_eq!("OFF".parse::<Policy>().expect("any case"), Policy::Off);
    let message = "maybe".parse::<Policy>().expect_err("no policy").to_string();
    assert_eq!(message, r#"unknown hugepage policy "maybe": expected required, preferred or off"#);
}

#[test]
fn page_sizes_are_read_in_every_usual_spelling() {
    for text in ["2M", "2m", "2MB", "2MiB", "2 MiB", "2048kB", " 2M "] {
        assert_eq!(text.parse::<PageSize>().expect(text), PageSize::Huge2M);
    }
    for text in ["1G", "1g", "1GB", "1GiB", "1 GiB", "1048576kB"] {
        assert_eq!(text.parse::<PageSize>().expect(text), PageSize::Huge1G);
    }
    for text in ["", "4k", "2", "2T", "1.5G", "-2M"] {
        let message = text.parse::<PageSize>().expect_err(text).to_string();
        assert!(message.contains(&format!("{text:?}: expected 2M or 1G")), "{message}");
    }
}

#[test]
fn page_sizes_are_what_their_names_say() {
    assert_eq!(PageSize::Huge2M.bytes(), 2_097_152);
    assert_eq!(PageSize::Huge1G.bytes(), 1_073_741_824);
    assert_eq!(PageSize::Huge2M.sysfs_name(), "hugepages-2048kB");
    assert_eq!(PageSize::Huge1G.sysfs_name(), "hugepages-1048576kB");
}

#[test]
fn backings_read_well_in_a_report() {
    assert_eq!(Backing::Huge(PageSize::Huge1G).to_string(), "1 GiB huge pages");
    assert_eq!(Backing::TransparentHuge.to_string(), "transparent huge pages");
    assert_eq!(Backing::Plain.to_string(), "plain pages");
}
