use super::*;
use std::fs;

fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, bytes).unwrap();
    (directory, path)
}

/// A `.npy` file, version 1.
fn npy(kind: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': ({shape}), }}");
    let header = format!("{header:<117}\n");
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data]
        .concat()
}

fn read_bytes(name: &str, bytes: &[u8]) -> Result<Vec<f32>, Error> {
    let (_directory, path) = file(name, bytes);
    read(&path)
}

#[test]
fn arrays_of_every_common_type_and_both_shapes_are_read() {
    let ramp: Vec<u8> = (0..128).map(|pixel| pixel % 17).collect();
    let expected: Vec<f32> = ramp.iter().map(|value| f32::from(*value) / 16.0).collect();
    let wide =
        |to: fn(u8) -> Vec<u8>| ramp.iter().flat_map(|value| to(*value)).collect::<Vec<u8>>();
    for (kind, data) in [
        ("|u1", ramp.clone()),
        ("<i2", wide(|value| i16::from(value).to_le_bytes().to_vec())),
        (">i4", wide(|value| i32::from(value).to_be_bytes().to_vec())),
        ("<i8", wide(|value| i64::from(value).to_le_bytes().to_vec())),
        ("<f4", wide(|value| f32::from(value).to_le_bytes().to_vec())),
        ("<f8", wide(|value| f64::from(value).to_le_bytes().to_vec())),
    ] {
        for shape in ["2, 64", "2, 8, 8"] {
            let read = read_bytes("a.npy", &npy(kind, "False", shape, &data));
            assert_eq!(read.unwrap(), expected, "{kind} {shape}");
        }
    }
}

#[test]
fn tables_are_read_with_and_without_a_header() {
    let row = (0..64).map(|pixel| (pixel % 17).to_string()).collect::<Vec<_>>().join(",");
    let header = (0..64).map(|pixel| format!("p{pixel}")).collect::<Vec<_>>().join(",");
    let bare = read_bytes("a.csv", format!("{row}\n{row}\n").as_bytes()).unwrap();
    assert_eq!(bare.len(), 128);
    let headed = read_bytes("a.CSV", format!("{header}\n{row}\n{row}\n").as_bytes());
    assert_eq!(headed.unwrap(), bare);
}

#[test]
fn another_shape_is_an_error_that_teaches() {
    for (shape, data, advice) in [
        ("64,", 64, "axis"),
        ("8, 8", 64, "axis"),
        ("2, 28, 28", 1568, "scale"),
        ("2, 63", 126, "N x 64"),
        ("1, 1, 64", 64, "N x 64"),
        ("0, 64", 0, "no images"),
        ("65537, 64", 64, "more than 65536"),
        ("18446744073709551615, 64", 64, "more than 65536"),
        ("99999999999999, 65", 0, "N x 64"),
    ] {
        let error = read_bytes("a.npy", &npy("|u1", "False", shape, &vec![0; data])).unwrap_err();
        assert!(matches!(error, Error::Shape(..)), "{shape}: {error}");
        assert!(error.to_string().contains(advice), "{shape}: {error}");
    }
    for (columns, advice) in [(65, "label"), (784, "scale"), (3, "3 columns")] {
        let row = vec!["1"; columns].join(",");
        let error = read_bytes("a.csv", row.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Shape(..)) && error.to_string().contains(advice), "{error}");
    }
    assert!(matches!(read_bytes("a.csv", b""), Err(Error::Shape(..))));
    let ragged = [vec!["1"; 64].join(","), vec!["1"; 63].join(",")].join("\n");
    assert!(matches!(read_bytes("a.csv", ragged.as_bytes()), Err(Error::Shape(..))));
}

#[test]
fn values_out_of_range_are_told_with_their_image() {
    let mut pixels = [0.0_f32; 128];
    for wrong in [16.5, -1.0, 255.0, f32::NAN, f32::INFINITY] {
        pixels[70] = wrong;
        let data: Vec<u8> = pixels.iter().flat_map(|value| value.to_le_bytes()).collect();
        let error = read_bytes("a.npy", &npy("<f4", "False", "2, 64", &data)).unwrap_err();
        assert!(matches!(error, Error::Value { image: 1, .. }), "{error}");
    }
}

#[test]
fn what_is_no_array_or_table_is_unreadable() {
    let good = npy("|u1", "False", "1, 64", &[0; 64]);
    for (name, bytes) in [
        ("a.npy", &b""[..]),
        ("a.npy", b"\x93NUMPY"),
        ("a.npy", b"not an array"),
        ("a.npy", good.get(..good.len() - 1).unwrap()),
        ("a.npy", &npy("|u1", "True", "1, 64", &[0; 64])),
        ("a.npy", &npy("<c8", "False", "1, 64", &[0; 512])),
        ("a.png", &good),
        ("a", &good),
        ("a.csv", &[vec!["1"; 64].join(","), vec!["x"; 64].join(",")].join("\n").into_bytes()),
        ("a.csv", &[0xff; 64]),
    ] {
        let error = read_bytes(name, bytes).unwrap_err();
        assert!(matches!(error, Error::Unreadable(..)), "{name}: {error}");
    }
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().join("absent.npy"), directory.path().to_owned()] {
        assert!(matches!(read(&path), Err(Error::Unreadable(..))));
    }
}
