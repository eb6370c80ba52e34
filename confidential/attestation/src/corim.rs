//! The payload of the reference values: a CoRIM (draft-ietf-rats-corim), in the profile that a GPU
//! needs. Who signed it is [`crate::reference_values`]'s to check.
//!
//! One CoRIM holds one CoMID for each firmware release. A CoMID has one reference triple: the GPU's
//! class (vendor and model), and its measurements by SPDM measurement index: a SHA-384 digest for
//! each firmware component, and the security version number.
//!
//! ```text
//! #6.501({ 0: id, 1: [ + #6.506(bstr .cbor comid) ], 4: { 0: not-before, 1: not-after } })
//! comid       = { 1: { 0: tag-id }, 4: { 0: [ [ { 0: class }, [ + measurement ] ] ] } }
//! class       = { 1: vendor, 2: model }
//! measurement = { 0: index, 1: { 2: [ [ 7 (sha-384), digest ] ] } }      for indices 1 to 5
//!             / { 0: 7,     1: { 0: { 0: version }, 1: #6.552(svn) } }
//! ```
//!
//! Anything else in it is refused: a constraint that this reader does not understand must not pass
//! for one that is met.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use coset::cbor::de::from_reader;
use coset::cbor::ser::into_writer;
use coset::cbor::value::Value;
use ravelin_dice::time::Validity;
use ravelin_dice::{Component, Digest, UnixTime, firmware_id, security::SVN_INDEX};

/// CBOR tag of an unsigned CoRIM.
const TAG_CORIM: u64 = 501;
/// CBOR tag of a CoMID in a CoRIM.
const TAG_COMID: u64 = 506;
/// CBOR tag of an exact security version number.
const TAG_SVN: u64 = 552;
/// CBOR tag of seconds since 1970 (RFC 8949, 3.4.2).
const TAG_TIME: u64 = 1;
/// SHA-384 in IANA's "Named Information Hash Algorithm" registry.
const HASH_SHA384: u64 = 7;
/// Most releases of a manifest.
const MAX_RELEASES: usize = 1024;

/// Why a CoRIM is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The CoRIM is not of the GPU profile: {0}")]
pub struct Error(pub &'static str);

/// Firmware that the maker vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Maker of the GPU.
    pub vendor: String,
    /// Model of the GPU.
    pub model: String,
    /// Version, for people.
    pub version: String,
    /// Security version number.
    pub svn: u32,
    /// What a GPU measures that boots it, in the order of [`Component::ALL`].
    pub components: [Digest; Component::ALL.len()],
}

impl Release {
    /// The firmware id that follows from the components.
    pub fn firmware_id(&self) -> Digest {
        firmware_id(&self.components)
    }
}

/// All that a maker publishes about its GPUs' firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Name of this document.
    pub id: String,
    /// When it may be relied on.
    pub validity: Validity,
    /// The releases, oldest first.
    pub releases: Vec<Release>,
}

impl Manifest {
    /// The CoRIM, in deterministic CBOR (RFC 8949, 4.2.1): the same manifest gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        let tags = self.releases.iter().map(encode_comid).collect();
        let times = [self.validity.not_before, self.validity.not_after]
            .map(|time| Value::Tag(TAG_TIME, Value::from(time.0).into()));
        let corim = map([(0, text(&self.id)), (1, Value::Array(tags)), (4, numbered(times))]);
        write(&Value::Tag(TAG_CORIM, corim.into()))
    }

    /// The manifest in a CoRIM.
    ///
    /// # Errors
    /// Where it is not CBOR, or not of the profile.
    pub fn decode(bytes: &[u8]) -> Result<Manifest, Error> {
        let mut corim = Fields::of(untag(read(bytes)?, TAG_CORIM)?)?;
        let id = into_text(corim.take(0)?)?;
        let tags = into_array(corim.take(1)?)?;
        let mut validity = Fields::of(corim.take(4)?)?;
        corim.finish()?;
        let mut time = |key| {
            let time = untag(validity.take(key)?, TAG_TIME)?;
            into_number(&time).map(UnixTime)
        };
        let validity_read = Validity { not_before: time(0)?, not_after: time(1)? };
        validity.finish()?;
        if tags.is_empty() || tags.len() > MAX_RELEASES {
            return Err(Error("number of tags"));
        }
        let releases = tags.into_iter().map(decode_comid).collect::<Result<_, _>>()?;
        Ok(Manifest { id, validity: validity_read, releases })
    }
}

fn encode_comid(release: &Release) -> Value {
    let digests = Component::ALL.iter().zip(&release.components).map(|(component, digest)| {
        let entry = Value::Array([Value::from(HASH_SHA384), bytes(digest)].into());
        let values = map([(2, Value::Array([entry].into()))]);
        map([(0, Value::from(component.index())), (1, values)])
    });
    let version = map([(0, text(&release.version))]);
    let svn = Value::Tag(TAG_SVN, Value::from(release.svn).into());
    let svn = map([(0, Value::from(SVN_INDEX)), (1, map([(0, version), (1, svn)]))]);
    let measurements = digests.chain([svn]).collect();

    let class = map([(1, text(&release.vendor)), (2, text(&release.model))]);
    let environment = map([(0, class)]);
    let triple = Value::Array([environment, Value::Array(measurements)].into());
    let triples = map([(0, Value::Array([triple].into()))]);
    let name = format!("{} {} firmware {}", release.vendor, release.model, release.version);
    let comid = map([(1, map([(0, text(&name))])), (4, triples)]);
    Value::Tag(TAG_COMID, bytes(&write(&comid)).into())
}

fn decode_comid(tag: Value) -> Result<Release, Error> {
    let mut comid = Fields::of(read(&into_bytes(untag(tag, TAG_COMID)?)?)?)?;
    let mut identity = Fields::of(comid.take(1)?)?;
    into_text(identity.take(0)?)?;
    identity.finish()?;
    let mut triples = Fields::of(comid.take(4)?)?;
    comid.finish()?;
    let reference = only(into_array(triples.take(0)?)?)?;
    triples.finish()?;
    let [environment, measurements] = pair(into_array(reference)?)?;

    let mut environment = Fields::of(environment)?;
    let mut class = Fields::of(environment.take(0)?)?;
    environment.finish()?;
    let vendor = into_text(class.take(1)?)?;
    let model = into_text(class.take(2)?)?;
    class.finish()?;

    let mut components = [None; Component::ALL.len()];
    let mut version_and_svn = None;
    for measurement in into_array(measurements)? {
        let mut measurement = Fields::of(measurement)?;
        let index = into_number(&measurement.take(0)?)?;
        let values = Fields::of(measurement.take(1)?)?;
        measurement.finish()?;
        let index = u8::try_from(index).map_err(|_| Error("measurement index"))?;
        let first = match Component::from_index(index) {
            Some(component) => components.get_mut(component.position()).and_then(|place| {
                place.replace(decode_digest(values).ok()?).is_none().then_some(())
            }),
            None if index == SVN_INDEX => {
                version_and_svn.replace(decode_svn(values)?).is_none().then_some(())
            }
            None => None,
        };
        first.ok_or(Error("measurement"))?;
    }
    let (version, svn) = version_and_svn.ok_or(Error("no security version"))?;
    let mut found = [[0; 48]; Component::ALL.len()];
    for (place, digest) in found.iter_mut().zip(components) {
        *place = digest.ok_or(Error("a component without a digest"))?;
    }
    Ok(Release { vendor, model, version, svn, components: found })
}

fn decode_digest(mut values: Fields) -> Result<Digest, Error> {
    let entry = only(into_array(values.take(2)?)?)?;
    values.finish()?;
    let [algorithm, digest] = pair(into_array(entry)?)?;
    if into_number(&algorithm)? != HASH_SHA384 {
        return Err(Error("digest algorithm"));
    }
    into_bytes(digest)?.try_into().map_err(|_| Error("digest length"))
}

fn decode_svn(mut values: Fields) -> Result<(String, u32), Error> {
    let mut version = Fields::of(values.take(0)?)?;
    let text = into_text(version.take(0)?)?;
    version.finish()?;
    let svn = into_number(&untag(values.take(1)?, TAG_SVN)?)?;
    values.finish()?;
    Ok((text, u32::try_from(svn).map_err(|_| Error("security version"))?))
}

/// A CBOR map with unsigned keys, of which every entry must be asked for.
struct Fields(Vec<(Value, Value)>);

impl Fields {
    fn of(value: Value) -> Result<Fields, Error> {
        value.into_map().map(Fields).map_err(|_| Error("not a map"))
    }

    /// The entry of this key, which must be there once: a second one stays and fails `finish`.
    fn take(&mut self, key: u64) -> Result<Value, Error> {
        let key = Value::from(key);
        let place = self.0.iter().position(|(name, _)| *name == key);
        let place = place.ok_or(Error("a field is missing"))?;
        Ok(self.0.remove(place).1)
    }

    fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error("a field is not understood")) }
    }
}

fn map<const N: usize>(entries: [(u64, Value); N]) -> Value {
    Value::Map(entries.map(|(key, value)| (Value::from(key), value)).into())
}

fn numbered<const N: usize>(values: [Value; N]) -> Value {
    Value::Map((0_u64..).map(Value::from).zip(values).collect())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_string())
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.to_vec())
}

fn untag(value: Value, expected: u64) -> Result<Value, Error> {
    match value {
        Value::Tag(tag, inner) if tag == expected => Ok(*inner),
        _ => Err(Error("a CBOR tag")),
    }
}

fn into_text(value: Value) -> Result<String, Error> {
    value.into_text().map_err(|_| Error("not text"))
}

fn into_bytes(value: Value) -> Result<Vec<u8>, Error> {
    value.into_bytes().map_err(|_| Error("not bytes"))
}

fn into_array(value: Value) -> Result<Vec<Value>, Error> {
    value.into_array().map_err(|_| Error("not an array"))
}

fn into_number(value: &Value) -> Result<u64, Error> {
    let number = value.as_integer().ok_or(Error("not a number"))?;
    u64::try_from(number).map_err(|_| Error("a number out of range"))
}

fn only(values: Vec<Value>) -> Result<Value, Error> {
    let [value] = <[Value; 1]>::try_from(values).map_err(|_| Error("not exactly one"))?;
    Ok(value)
}

fn pair(values: Vec<Value>) -> Result<[Value; 2], Error> {
    values.try_into().map_err(|_| Error("not a pair"))
}

fn read(mut bytes: &[u8]) -> Result<Value, Error> {
    let value = from_reader(&mut bytes).map_err(|_| Error("not CBOR"))?;
    if bytes.is_empty() { Ok(value) } else { Err(Error("bytes behind the end")) }
}

fn write(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing values to memory has no way to fail.
    let written = into_writer(value, &mut bytes);
    debug_assert!(written.is_ok());
    bytes
}

#[cfg(test)]
mod tests;
