use super::*;

#[test]
fn an_image_survives_its_file() {
    for component in Component::ALL {
        let set = FirmwareSet::current();
        let image = set.image(component);
        assert_eq!(FirmwareImage::decode(&image.encode()).as_ref(), Ok(image));
    }
}

#[test]
fn every_field_and_every_byte_is_measured() {
    let image = FirmwareImage::made(Component::Vbios, "1.0.0", 1);
    let measured = image.measure();
    let changed = [
        FirmwareImage { component: Component::Sec2, ..image.clone() },
        FirmwareImage { version: "1.0.1".into(), ..image.clone() },
        FirmwareImage { svn: 2, ..image.clone() },
        FirmwareImage { body: image.body[1..].to_vec(), ..image.clone() },
    ];
    for changed in changed {
        assert_ne!(changed.measure(), measured);
    }
    for at in 0..image.body.len() {
        if at % 97 == 0 || at == image.body.len() - 1 {
            let mut changed = image.clone();
            changed.body[at] ^= 1;
            assert_ne!(changed.measure(), measured, "byte {at} is not measured");
        }
    }
}

#[test]
fn bytes_that_are_no_image_are_refused_by_name() {
    let good = FirmwareImage::made(Component::Vbios, "1.0.0", 1).encode();
    assert_eq!(FirmwareImage::decode(&good[..31]), Err(Error::NotAnImage));
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        FirmwareImage::decode(&bytes)
    };
    assert_eq!(with(0, b'X'), Err(Error::NotAnImage));
    assert_eq!(with(4, 6), Err(Error::UnknownComponent(6)));
    assert_eq!(with(5, 1), Err(Error::UnknownComponent(0x105)));
    assert_eq!(with(16, 7), Err(Error::Version));
    assert_eq!(with(31, b'x'), Err(Error::Version));
    assert!(matches!(
        FirmwareImage::decode(&good[..good.len() - 1]),
        Err(Error::BodyLength { .. })
    ));
}

#[test]
fn releases_differ_and_the_newer_one_has_the_higher_security_version() {
    let [old, new] = FirmwareSet::releases();
    assert_ne!(old.id(), new.id());
    assert!(old.svn() < new.svn());
}

#[test]
fn one_old_component_lowers_the_whole_sets_security_version() {
    let old = FirmwareSet::previous().image(Component::Sec2).clone();
    assert_eq!(FirmwareSet::current().with(old).svn(), FirmwareSet::previous().svn());
}
