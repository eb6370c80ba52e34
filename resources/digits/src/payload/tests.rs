use proptest::prelude::*;

use super::*;

/// A file whose header is this JSON, with `body` zero bytes behind it.
fn file(header: &str, body: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + body, 0);
    bytes
}

#[test]
fn the_embedded_payload_is_the_documented_one() {
    let payload = Payload::parse(EMBEDDED).unwrap();
    assert_eq!(payload.samples(), 449);
    assert_eq!(payload.labels().unwrap().len(), 449);
    assert!(payload.images().iter().all(|pixel| (0.0..=1.0).contains(pixel)));
}

#[test]
fn a_payload_survives_its_file() {
    let payload = Payload::parse(EMBEDDED).unwrap();
    assert_eq!(Payload::parse(&payload.to_bytes().unwrap()).unwrap(), payload);
}

#[test]
fn a_users_images_come_with_the_trained_network_and_without_labels() {
    let images = [0.5; 3 * PIXELS];
    let payload = Payload::parse(&Payload::with_images(&images).unwrap()).unwrap();
    assert_eq!(payload.images(), images);
    assert_eq!(payload.labels(), None);
    assert_eq!(payload.network(), Payload::parse(EMBEDDED).unwrap().network());
}

#[test]
fn images_of_the_wrong_number_are_refused() {
    assert!(matches!(Payload::with_images(&[]), Err(Error::NoImages)));
    assert!(matches!(Payload::with_images(&[0.0; PIXELS + 1]), Err(Error::PartialImage(65))));
    let many = alloc::vec![0.0; (MAX_SAMPLES + 1) * PIXELS];
    assert!(matches!(Payload::with_images(&many), Err(Error::TooManyImages(65537))));
}

#[test]
fn numbers_that_are_none_are_refused() {
    let mut images = [0.0; PIXELS];
    images[9] = f32::NAN;
    let refused = Payload::with_images(&images);
    assert!(matches!(refused, Err(Error::NotFinite { name: "images", index: 9 })));
    let network = Network::new(
        alloc::vec![f32::INFINITY; PIXELS * HIDDEN],
        alloc::vec![0.0; HIDDEN],
        alloc::vec![0.0; HIDDEN * CLASSES],
        alloc::vec![0.0; CLASSES],
    );
    assert!(matches!(network, Err(Error::NotFinite { name: "w1", index: 0 })));
}

#[test]
fn labels_are_digits_one_for_each_image() {
    let trained = Payload::parse(EMBEDDED).unwrap();
    let with =
        |labels| Payload::new(trained.network.clone(), alloc::vec![0.0; 2 * PIXELS], Some(labels));
    assert!(with(alloc::vec![0, 9]).is_ok());
    assert!(matches!(with(alloc::vec![0, 10]), Err(Error::Label { index: 1, value: 10 })));
    assert!(matches!(with(alloc::vec![0]), Err(Error::Shape { name: "labels", .. })));
}

#[test]
fn labels_of_64_bits_are_read_and_negative_ones_refused() {
    let trained = Payload::parse(EMBEDDED).unwrap();
    let network = &trained.network;
    let build = |label: i64| {
        let tensors = [
            ("w1", Dtype::F32, alloc::vec![PIXELS, HIDDEN], float_bytes(network.w1())),
            ("b1", Dtype::F32, alloc::vec![HIDDEN], float_bytes(network.b1())),
            ("w2", Dtype::F32, alloc::vec![HIDDEN, CLASSES], float_bytes(network.w2())),
            ("b2", Dtype::F32, alloc::vec![CLASSES], float_bytes(network.b2())),
            ("images", Dtype::F32, alloc::vec![1, PIXELS], float_bytes(&[0.0; PIXELS])),
            ("labels", Dtype::I64, alloc::vec![1], label.to_le_bytes().to_vec()),
        ];
        let views: Vec<_> = tensors
            .iter()
            .map(|(name, kind, shape, data)| {
                (*name, TensorView::new(*kind, shape.clone(), data).unwrap())
            })
            .collect();
        safetensors::serialize(views, None).unwrap()
    };
    assert_eq!(Payload::parse(&build(7)).unwrap().labels(), Some(&[7][..]));
    let refused = Payload::parse(&build(-1));
    assert!(matches!(refused, Err(Error::Label { index: 0, value: -1 })));
}

#[test]
fn a_tensor_that_is_absent_or_of_another_type_or_shape_is_named() {
    assert!(matches!(Payload::parse(&file("{}", 0)), Err(Error::Missing("w1"))));
    let header = r#"{"w1":{"dtype":"F64","shape":[64,32],"data_offsets":[0,16384]}}"#;
    let refused = Payload::parse(&file(header, 16384));
    assert!(matches!(refused, Err(Error::Type { name: "w1", .. })));
    let header = r#"{"w1":{"dtype":"F32","shape":[32,64],"data_offsets":[0,8192]}}"#;
    let refused = Payload::parse(&file(header, 8192));
    assert!(matches!(refused, Err(Error::Shape { name: "w1", .. })));
}

#[test]
fn sizes_that_overflow_are_refused() {
    let huge = r#"{"w1":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#;
    assert!(matches!(Payload::parse(&file(huge, 0)), Err(Error::Container(_))));
    let mut bytes = u64::MAX.to_le_bytes().to_vec();
    bytes.extend_from_slice(b"{}");
    assert!(matches!(Payload::parse(&bytes), Err(Error::Container(_))));
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = Payload::parse(&bytes);
    }

    #[test]
    fn a_damaged_file_never_makes_the_parser_panic(
        at in 0..1024_usize,
        value in any::<u8>(),
        length in 0..EMBEDDED.len(),
    ) {
        let mut bytes = EMBEDDED.to_vec();
        bytes[at] = value;
        let _ = Payload::parse(&bytes);
        prop_assert!(Payload::parse(&EMBEDDED[..length]).is_err());
    }
}
