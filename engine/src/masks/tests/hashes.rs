use std::collections::HashSet;

use arrow::array::{BinaryArray, Int32Array, Int64Array};
use arrow::datatypes::{Int32Type, Int64Type};
use portolan_governance::MaskKey;

use super::*;

/// The digests are those of Python's `hashlib`.
#[test]
fn strings_become_hexadecimal_digests() {
    check_strings(
        Mask::Sha256Global,
        &[
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("é", "4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c"),
            ("🙂", "d06f1525f791397809f9bc98682b5c13318eca4c3123433467fd4dffda44fd14"),
            ("4111-1111-1111-4444", "7113adce9b3820cc5fd26f634570679fc97b3879566dc03f50a376a3c0872376"),
        ],
    );
}

#[test]
fn digests_of_a_query_start_with_the_salt() {
    check_strings(
        Mask::Sha256QueryLocal,
        &[
            ("", "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd"),
            ("abc", "42fd4a8c529fdb402d577c701b291018f0b2c52207f96e2a057483fd349a9868"),
            ("é", "4c47bf9b5e5815b61bbaa6dd2011a27f9fe906d557a78139a53f59d03435f154"),
        ],
    );
    let salted = masked_values::<Int32Type>(Mask::Sha256QueryLocal, &Int32Array::from(vec![Some(42), None]));
    assert_eq!(salted, [Some(-131_801_371), None]);
    let salted = masked_values::<Int64Type>(Mask::Sha256QueryLocal, &Int64Array::from(vec![None, Some(42)]));
    assert_eq!(salted, [None, Some(3_407_204_366_969_541_821)]);
}

/// The hashes are those of Python's `hmac`.
#[test]
fn keyed_hashes_depend_on_the_key() {
    check_strings(
        Mask::HmacSha256,
        &[
            ("", "d38b42096d80f45f826b44a9d5607de72496a415d3f4a1a8c88e3bb9da8dc1cb"),
            ("abc", "f0133729c4163dede81e21cd47839256da58171238c8a0d874397c73b14e1e47"),
            ("é", "2445a1fe5ea6e3a6a788fcd7694ae2e660a1b57669bd103992c9cea6979eedcd"),
        ],
    );
}

/// The key of a principal is the HMAC of the principal's name and purpose with the key of the mesh, as in Python's `hmac`.
#[test]
fn principals_have_keys_of_their_own() {
    let key = MaskKey::parse("0123456789abcdef0123456789abcdef").unwrap();
    let hash = |name: &str, purpose: Option<&str>| {
        let key = Salt::keyed(&key, name, purpose);
        let hashed = mask(Mask::HmacSha256, &StringArray::from(vec!["abc"]), Some(key.as_bytes())).unwrap();
        hashed.as_string::<i32>().value(0).to_owned()
    };
    assert_eq!(hash("ann", Some("fraud")), "1c023d4df88d138d92e3f5de6738a49e9e685567238c6d55d3101f01e4e659f3");
    assert_ne!(hash("ann", None), hash("ann", Some("fraud")));
    assert_ne!(hash("bob", Some("fraud")), hash("ann", Some("fraud")));
}

#[test]
fn hashes_agree_if_their_identities_are_equal() {
    let (salt, other) = (Salt::random().unwrap(), Salt::random().unwrap());
    let of = |kind: Mask, salt: &Salt, data_type: DataType| {
        MaskFunction::try_new(kind, Some(salt)).unwrap().hash_identity(&data_type)
    };
    for kind in [Mask::HmacSha256, Mask::Sha256QueryLocal] {
        let identity = of(kind, &salt, DataType::Utf8).unwrap();
        assert!(identity.starts_with(&format!("{kind}/string/")), "{identity}");
        for layout in [DataType::LargeUtf8, DataType::Utf8View, dictionary(DataType::Int8, DataType::Utf8)] {
            assert_eq!(of(kind, &salt, layout).as_deref(), Some(identity.as_str()));
        }
        assert_ne!(of(kind, &other, DataType::Utf8).unwrap(), identity);
    }
    let global = |data_type| of(Mask::Sha256Global, &salt, data_type);
    assert_eq!(global(DataType::Utf8), of(Mask::Sha256Global, &other, DataType::Utf8));
    let types = [DataType::Utf8, DataType::Binary, DataType::Int32, DataType::Int64];
    assert_eq!(HashSet::from(types.map(global)).len(), 4);
    assert_eq!(of(Mask::ShowLast4, &salt, DataType::Utf8), None);
}

#[test]
fn binaries_become_digests() {
    let digest = [
        0x06, 0xeb, 0x7d, 0x6a, 0x69, 0xee, 0x19, 0xe5, 0xfb, 0xdf, 0x74, 0x90, 0x18, 0xd3, 0xd2, 0xab, 0xfa, 0x04,
        0xbc, 0xbd, 0x13, 0x65, 0xdb, 0x31, 0x2e, 0xb8, 0x6d, 0xc7, 0x16, 0x93, 0x89, 0xb8,
    ];
    let given = BinaryArray::from_opt_vec(vec![None, Some(b"\x00\xff"), Some(b"\x00\xff")]);
    let expected = BinaryArray::from_opt_vec(vec![None, Some(&digest), Some(&digest)]);
    for layout in [
        DataType::Binary,
        DataType::LargeBinary,
        DataType::BinaryView,
        dictionary(DataType::UInt8, DataType::Binary),
        dictionary(DataType::Int64, DataType::BinaryView),
    ] {
        let result = masked(Mask::Sha256Global, &cast(&given, &layout).unwrap());
        assert_eq!(cast(&result, &DataType::Binary).unwrap().as_binary::<i32>(), &expected, "{layout}");
    }
}

#[test]
fn integers_become_the_start_of_their_digests() {
    let given = Int32Array::from(vec![Some(0), None, Some(1), Some(-1), Some(i32::MAX), Some(i32::MIN)]);
    let expected =
        [Some(-1_738_457_121), None, Some(1_927_129_959), Some(454_268_333), Some(939_902_882), Some(644_438_125)];
    assert_eq!(masked_values::<Int32Type>(Mask::Sha256Global, &given), expected);
    assert_eq!(masked_values::<Int32Type>(Mask::Sha256Global, &given.slice(1, 3)), expected[1..4]);
    let packed = cast(&given, &dictionary(DataType::Int8, DataType::Int32)).unwrap();
    let unpacked = cast(&masked(Mask::Sha256Global, &packed), &DataType::Int32).unwrap();
    assert_eq!(unpacked.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), expected);

    let given = Int64Array::from(vec![Some(0), Some(1), Some(-1), Some(i64::MAX), Some(i64::MIN), None]);
    let expected = [
        Some(8_794_265_229_978_523_055),
        Some(-6_467_378_160_175_308_932),
        Some(6_759_447_113_877_070_610),
        Some(7_179_146_226_492_139_882),
        Some(6_374_347_445_474_471_398),
        None,
    ];
    assert_eq!(masked_values::<Int64Type>(Mask::Sha256Global, &given), expected);
}

#[test]
fn a_salt_is_required_and_long_enough() {
    let given = StringArray::from(vec!["abc"]);
    let error = |salt: Option<&[u8]>| mask(Mask::Sha256QueryLocal, &given, salt).unwrap_err().to_string();
    let expected = "Invalid argument error: expected a salt of at least 16 bytes for `sha-256-query-local`, got";
    assert_eq!(error(None), format!("{expected} none"));
    assert_eq!(error(Some(&[7; 15])), format!("{expected} 15 bytes"));
    assert!(mask(Mask::Sha256QueryLocal, &given, Some(&[7; 16])).is_ok());
    assert!(mask(Mask::Sha256Global, &given, None).is_ok());
    let keyed = mask(Mask::HmacSha256, &given, None).unwrap_err().to_string();
    assert!(keyed.ends_with("for `hmac-sha-256`, got none"), "{keyed}");
}

#[test]
fn salts_differ_and_stay_hidden() {
    let (salt, other) = (Salt::random().unwrap(), Salt::random().unwrap());
    assert_ne!(salt.as_bytes(), other.as_bytes());
    assert_eq!(format!("{salt:?} {other:#?}"), "Salt(..) Salt(..)");
    let given = StringArray::from(vec!["abc"]);
    let hash = |salt: &Salt| mask(Mask::Sha256QueryLocal, &given, Some(salt.as_bytes())).unwrap();
    assert_eq!(&hash(&salt), &hash(&salt.clone()));
    assert_ne!(&hash(&salt), &hash(&other));
    assert_ne!(&hash(&salt), &masked(Mask::Sha256Global, &given));
}
