use super::*;
use proptest::prelude::*;

#[test]
fn sizes_are_read_as_people_write_them() {
    for (text, bytes) in [
        ("4096", 4096),
        ("4096B", 4096),
        ("64k", 64 << 10),
        ("64KiB", 64 << 10),
        ("512M", 512 << 20),
        ("512MB", 512 << 20),
        ("80GiB", 80 << 30),
        ("1 TiB", 1 << 40),
    ] {
        assert_eq!(Size::parse("memory", text), Ok(Size(bytes)), "{text}");
    }
}

#[test]
fn each_way_in_which_a_size_is_wrong_has_its_own_error() {
    for text in ["", "lots", "G", "-1G", "1.5G", "0x1000", "1GG", "1Gi b", "١G"] {
        let error = Size::parse("memory", text);
        assert!(matches!(error, Err(Error::SizeUnreadable { .. })), "{text}: {error:?}");
    }
    for text in ["99999999999999999999999", "16777216TiB", "18446744073709551615PiB"] {
        let error = Size::parse("memory", text);
        assert!(matches!(error, Err(Error::SizeTooLarge { .. })), "{text}: {error:?}");
    }
    let check = |memory| VmSpec { memory, ..VmSpec::default() }.check();
    assert!(matches!(check(Size(0)), Err(Error::SizeTooSmall { .. })));
    assert!(matches!(check(Size(LEAST_MEMORY.0 + 1)), Err(Error::SizeUneven { .. })));
    assert!(matches!(check(Size(MOST_MEMORY.0 + 1)), Err(Error::SizeTooLarge { .. })));
    assert_eq!(check(LEAST_MEMORY), Ok(()));
}

#[test]
fn a_gpu_is_a_kind_and_pairs() {
    assert_eq!("apm".parse(), Ok(GpuSpec::default()));
    assert_eq!(
        "apm,memory=8GiB,mode=off".parse(),
        Ok(GpuSpec::Apm(ApmSpec { memory: Size::gib(8), mode: ModeSpec::Off }))
    );
    for text in
        ["", "h100", "apm,", "apm,memory", "apm,mode=half", "apm,speed=9", "apm,mode=on,mode=off"]
    {
        assert!(matches!(text.parse::<GpuSpec>(), Err(Error::Gpu { .. })), "{text}");
    }
    for text in ["apm,memory=0", "apm,memory=x", "apm,memory=2TiB", "apm,memory=9000001"] {
        let error = text.parse::<GpuSpec>();
        assert!(!matches!(error, Ok(_) | Err(Error::Gpu { .. })), "{text}: {error:?}");
    }
}

#[test]
fn names_are_safe_as_directories() {
    for name in ["a", "gpu-0", "Z_9", &"x".repeat(48)] {
        assert_eq!(name.parse::<Name>().map(String::from), Ok(name.into()));
    }
    for name in ["", ".", "..", "a/b", "-a", "a b", "ä", "a\n", &"x".repeat(49)] {
        assert_eq!(name.parse::<Name>(), Err(Error::Name(name.into())));
    }
}

#[test]
fn a_file_and_the_command_line_describe_the_same_vm() {
    let file = VmSpec::from_toml(
        r#"
        name = "a"
        platform = "none"
        memory = "1GiB"
        workload = "digits"
        repeat = "forever"
        images = "mine.npy"
        [[gpus]]
        memory = "8GiB"
        mode = "devtools"
        [[gpus]]
        model = "apm"
        "#,
    );
    let spec = VmSpec {
        name: Some("a".parse().unwrap()),
        platform: Platform::None,
        memory: Size::gib(1),
        gpus: vec!["apm,memory=8GiB,mode=devtools".parse().unwrap(), "apm".parse().unwrap()],
        workload: Workload::Digits,
        repeat: Repeat::Forever,
        images: Some("mine.npy".into()),
        ..VmSpec::default()
    };
    assert_eq!(file.as_ref(), Ok(&spec));
    assert_eq!(VmSpec::from_toml(&toml::to_string(&spec).unwrap()), Ok(spec));
    assert_eq!(VmSpec::from_toml(""), Ok(VmSpec::default()));
}

#[test]
fn linux_is_described_by_a_file_too() {
    let file = r#"
        kernel = "vmlinuz"
        initrd = "initrd"
        cmdline = "quiet"
        cpus = 8
        serial = "file=/tmp/console"
        gpus = []
        vsock = { cid = 33 }
        [[disks]]
        path = "root.img"
        readonly = true
        [[nets]]
        tap = "tap0"
        mac = "52:54:00:12:34:56"
    "#;
    let spec = VmSpec {
        kernel: Some("vmlinuz".into()),
        initrd: Some("initrd".into()),
        cmdline: Some("quiet".into()),
        cpus: 8,
        serial: SerialSpec::File("/tmp/console".into()),
        gpus: Vec::new(),
        disks: vec![DiskSpec { path: "root.img".into(), readonly: true }],
        nets: vec!["tap=tap0,mac=52:54:00:12:34:56".parse().unwrap()],
        vsock: Some(VsockSpec { cid: 33, socket: None }),
        ..VmSpec::default()
    };
    assert_eq!(VmSpec::from_toml(file).as_ref(), Ok(&spec));
    assert_eq!(VmSpec::from_toml(&toml::to_string(&spec).unwrap()).as_ref(), Ok(&spec));
    assert_eq!(spec.check(), Ok(()));
    let too_many = VmSpec { cpus: 33, ..spec.clone() };
    assert_eq!(too_many.check(), Err(Error::Cpus("33".into())));
    let small = VmSpec { memory: Size::mib(128), ..spec.clone() };
    assert!(matches!(small.check(), Err(Error::SizeTooSmall { .. })));
    assert_eq!(VmSpec { platform: Platform::None, ..small }.check(), Ok(()));
    let crowd = VmSpec {
        disks: vec![DiskSpec { readonly: true, ..spec.disks[0].clone() }; 16],
        ..spec.clone()
    };
    assert_eq!(crowd.check(), Err(Error::PeripheralCount(17)));
    let host = VmSpec { vsock: Some(VsockSpec { cid: 2, socket: None }), ..spec.clone() };
    assert!(matches!(host.check(), Err(Error::Device { option: "--vsock", .. })));
    let none = VmSpec { kernel: None, ..spec };
    assert!(none.check().is_err(), "the built-in guest has neither initrd nor command line");
}

#[test]
fn a_file_that_says_something_unknown_is_refused_in_one_line() {
    for text in
        ["colour = 1", "platform = \"snp9\"", "memory = -1", "name = \"a/b\"", "repeat = 0", "["]
    {
        let Err(Error::File(message)) = VmSpec::from_toml(text) else { panic!("{text} is taken") };
        assert!(!message.contains('\n') && !message.is_empty());
    }
}

#[test]
fn images_need_the_workload_that_reads_them_and_gpus_have_a_number() {
    let mut spec =
        VmSpec { images: Some("x.npy".into()), workload: Workload::Idle, ..VmSpec::default() };
    assert_eq!(spec.check(), Err(Error::ImagesWithoutDigits(Workload::Idle)));
    spec.workload = Workload::Digits;
    assert_eq!(spec.check(), Ok(()));
    for count in [0, 9] {
        spec.gpus = vec![GpuSpec::default(); count];
        assert_eq!(spec.check(), Err(Error::GpuCount(count)));
    }
}

proptest! {
    #[test]
    fn a_size_reads_back_as_it_is_shown(bytes in any::<u64>(), shift in 0u32..50) {
        let size = Size(bytes >> shift << shift);
        prop_assert_eq!(Size::parse("memory", &size.to_string()), Ok(size));
    }

    #[test]
    fn no_text_panics(text in ".{0,24}") {
        let _ = Size::parse("memory", &text);
        let _ = text.parse::<GpuSpec>();
        let _ = format!("apm,{text}").parse::<GpuSpec>();
        let _ = text.parse::<Name>();
        let _ = text.parse::<Repeat>();
        let _ = text.parse::<DiskSpec>();
        let _ = text.parse::<NetSpec>();
        let _ = text.parse::<VsockSpec>();
        let _ = VmSpec::from_toml(&text);
    }
}
