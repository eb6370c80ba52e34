use super::*;

fn example() -> Manifest {
    let release = |svn: u32| Release {
        vendor: "V".into(),
        model: "M".into(),
        version: format!("{svn}"),
        svn,
        components: core::array::from_fn(|at| [at as u8 + svn as u8; 48]),
    };
    Manifest {
        id: "example".into(),
        validity: Validity {
            not_before: UnixTime(1_000_000_000),
            not_after: UnixTime(2_000_000_000),
        },
        releases: [release(1), release(2)].into(),
    }
}

#[test]
fn a_manifest_survives_its_corim() {
    assert_eq!(Manifest::decode(&example().encode()), Ok(example()));
}

/// The first bytes by hand: tag 501 of a map of three, with the name at 0 and the tags at 1.
#[test]
fn the_encoding_is_the_drafts() {
    let bytes = example().encode();
    let start = [0xd9, 0x01, 0xf5, 0xa3, 0x00, 0x67];
    assert_eq!(bytes[..6], start);
    assert_eq!(&bytes[6..13], b"example");
    assert_eq!(bytes[13..18], [0x01, 0x82, 0xd9, 0x01, 0xfa]);
    let end = [
        0x04, 0xa2, 0x00, 0xc1, 0x1a, 0x3b, 0x9a, 0xca, 0x00, 0x01, 0xc1, 0x1a, 0x77, 0x35, 0x94,
        0x00,
    ];
    assert!(bytes.ends_with(&end), "{bytes:02x?}");
}

#[test]
fn a_truncated_or_extended_corim_is_refused() {
    let bytes = example().encode();
    for length in 0..bytes.len() {
        assert!(Manifest::decode(&bytes[..length]).is_err(), "{length} bytes");
    }
    assert!(Manifest::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
}

/// Rewrites the CoMID of the first release.
fn with_comid(change: impl FnOnce(&mut Value)) -> Result<Manifest, Error> {
    let mut corim = Fields::of(untag(read(&example().encode())?, TAG_CORIM)?)?;
    let (id, mut tags) = (corim.take(0)?, into_array(corim.take(1)?)?);
    let mut comid = read(&into_bytes(untag(tags.remove(0), TAG_COMID)?)?)?;
    change(&mut comid);
    let comid = Value::Tag(TAG_COMID, bytes(&write(&comid)).into());
    let corim = map([(0, id), (1, Value::Array([comid].into())), (4, corim.take(4)?)]);
    Manifest::decode(&write(&Value::Tag(TAG_CORIM, corim.into())))
}

fn measurements(comid: &mut Value) -> &mut Vec<Value> {
    let triples = &mut comid.as_map_mut().unwrap()[1].1;
    let reference = &mut triples.as_map_mut().unwrap()[0].1;
    let triple = &mut reference.as_array_mut().unwrap()[0];
    triple.as_array_mut().unwrap()[1].as_array_mut().unwrap()
}

#[test]
fn a_constraint_that_is_not_understood_is_refused() {
    assert!(with_comid(|_| ()).is_ok());
    let flags = (Value::from(3), map([]));
    let refused = with_comid(|comid| {
        let values = &mut measurements(comid)[0].as_map_mut().unwrap()[1].1;
        values.as_map_mut().unwrap().push(flags);
    });
    assert_eq!(refused, Err(Error("measurement")));
    let refused = with_comid(|comid| {
        comid.as_map_mut().unwrap().push((Value::from(3), Value::Array(Vec::new())));
    });
    assert_eq!(refused, Err(Error("a field is not understood")));
}

#[test]
fn a_component_measured_twice_or_never_is_refused() {
    let refused = with_comid(|comid| {
        let again = measurements(comid)[0].clone();
        measurements(comid).push(again);
    });
    assert_eq!(refused, Err(Error("measurement")));
    let refused = with_comid(|comid| drop(measurements(comid).remove(2)));
    assert_eq!(refused, Err(Error("a component without a digest")));
    let refused = with_comid(|comid| drop(measurements(comid).pop()));
    assert_eq!(refused, Err(Error("no security version")));
}

#[test]
fn a_minimum_in_the_place_of_a_version_is_refused() {
    let refused = with_comid(|comid| {
        let values = &mut measurements(comid)[5].as_map_mut().unwrap()[1].1;
        values.as_map_mut().unwrap()[1].1 = Value::Tag(553, Value::from(1).into());
    });
    assert_eq!(refused, Err(Error("a CBOR tag")));
}

proptest::proptest! {
    #[test]
    fn rubbish_does_not_panic(rubbish: Vec<u8>, at in 0_usize..600) {
        let _ = Manifest::decode(&rubbish);
        let mut bytes = example().encode();
        let place = at.min(bytes.len());
        bytes.splice(place..place, rubbish);
        let _ = Manifest::decode(&bytes);
    }
}
