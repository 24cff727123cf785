//! Tests of signatures by each algorithm.

#![allow(clippy::unwrap_used)]

use jsonwebtoken::crypto::verify;

use super::*;

const MESSAGE: &[u8] = b"header.claims";

const MODULUS: &str = "\
    uTtdqP0M-3BbVz3dGD0k9W_j7hiykP01jZHLFqmZJhRlhuTBhsOmj8ZnrFGch_53dv6pQYaNraF_BRQxjjtRG-fqCW7PXm1W\
    nJ3ubQzZxbOPxZweiyZpM35w_RgR7RQTUW6bCfBjrAiIj9XJudo2hNE2XVA-za5u5svEAkrxffmPAqGc_1eV17QFa6OdX0u2\
    A5o4y82S1H3MYSlo3TaZRkJXqjieO_kDmbVyGBXqPUPgzbOaiEGZBJp2QXsByvNL25HjnzfhiuQvQ2vA7oVzy7QRzd8l1GjJ\
    3-miixrjytaAk7IduKbGAe6kPjjT6I57eskKOvqfpOrOJWkrDPlZ_Q";
const RS256: &str = "\
    sPDO5ZpZYPz6ZrUa6u3Qr7IVpxMDM_3r1a7SL9vC5-rK6qxC6AJYteywDD9JQyRkNA9XDWSnm_Lue8wA42II2AuiDwq91_GO\
    rvzZPmFf-fT4GUzFAxgOsWZPAQQT7vgOcXNZ2slbIh4mf4nZGSD3en-vbO4QfZyjDZw2Qs1lIytU97TJfJKuz0GfrULpVY4v\
    tmbII3jhdFXW88LPHdokJVHkhvOAMJXRJiv1zWHiA9_pQEmPKxn44Lnmhsuil-OIW8Yz9_648BZa0ndRpin8Y_mHYW8IZWjb\
    dQIHKgsBDn4mOtDVCveEDRC-XBeLh3I8m6nEwZ2dS-WjazyLeTG76Q";
const RS384: &str = "\
    kPZTo6kshFgyKCxbLbZAMgsx6CwO1SJSDs-voH_sspbf-NBhu4wBkN010kUcVbuYaTRQy9UoQqQV36MUtvE5SIBu5g-Lq0ih\
    IDrm6uER3TwzdTyBfR1skUOZXoiS-KMCaCyDT3_a7QfECXLcyssycF8ALH76h918MIK25GjzdFEQvjHx7SlLWrmDjvQywKiT\
    0-gkRhNMnUuydTp3JpEbPoq-FYYVdkCszJnlSVVfqmDMvEpMxK4iAGsA59cV27QkKFyTMEqJWJ2qXdYP0DGhbtktFCasKByz\
    ifjtBVA7pqZzqd8-aliafgNZXtI16VwY0iiJrAiRpAORherIm2myWw";
const RS512: &str = "\
    nIaZl4Vwq7-RX4JNhAtr6niN3bbjYoEyZHRqshwMj6ci2KRnjaFiN67KaOmcyxiPKpBQMknROir0VU0pqkq7ozwdkn3o1XAd\
    W5Mz2I64IzM7yEg6cErKey9Sr0ffasvYN6jVzAlnszTYbmd9oa3i-K5in5XR6z-tKG5CiMTx_JjUtVkSAH-1fbrnbuPD5Uix\
    rwWySRcYiYl0QFNsv3dgoNhmW9TvARi2Umh_YzR0ZeRLNwM10o-6swyyoRrx1styglQcr4RRb9aBq2cxVfL67GTmpfCIDuJO\
    8xGMDZzrL3ai9TslIk9Lq9_t-ZgsueQ9QXzfr7uHa8rWjbzQWTczqA";
const PS256: &str = "\
    taCW7QW9eV6tQ2SR-e4QlLgPSyWlVc-FVzw0oB8GbTdRquzv8iWi6H28IH1xNhH_DQ1yMH2EuduFkDHqIhEXS5_kBR2X1o4V\
    IoY9jm0B9WSQHyf2NmGk27nqIxbFVcZ5IXT5adaTJJ3L2SqlT_zrXclzi4CijreaP1ekjf20gpi34UiS9BDFnRTw6XetaZDj\
    oZ-R6OwWpkJG1BqaKiMZmNhxp2nTwjfrtX74oGCrkdQi8-dyLv-w5oiCgFHNk6oeaIV_7f4_mkrg5r800zLWXHSM5itMrz9q\
    VU1QZY8WeN1tpnBd_l7BRXWkeDnIAep0YRbvKcSHIE2AiTe_9nTn-A";
const PS384: &str = "\
    PBCgJNv96_PZi8_WPGRstrF7umOqyN3XFF_ZJZVWWpXZSbb_uRGl15dktMk3GF-jZY4-SG3CbodRta1dNX-T6dIsKgPbD263\
    mXBieCkKp_eX3M1mvLcYo7969d6B759cbIDVpXqABALbljX4Du4MYkgC5cuyZf8MQdIc300wjBc_2tsnFqiECGXhL8g1CyiD\
    iZJGD2_kFC7Hm-u1uNSujyUd1hZidL9vAhx9R_szuWusVU4tqLxG4betUmE1eKzb_WuXPx6iEGpFENznFEZBPAD_Oce2VTpj\
    ZQU5qdE9RmxpE6yBHRfjU-k25Euku39Xezq3lm1Ny8ExFGZZZtnMtg";
const PS512: &str = "\
    lWmgfg4EGou195yhkTcVmXm5VLTEZMUnQrXIJ0Gpbd0352g4cWD2W_6wMoc_TyqreEYwih1P2PzzFGknCIo6SqUIPN2Fi72G\
    VmdQia3M7tT8yQGwJayDhlMHofUCKX2U05GxHcNGyp7ZELcUVrGotK8nmpiL6-X9dacyUOD_aEpT94jjy1RhGeQ2JHssoP99\
    iIF8Je4LFPj4EucxTWsfmV0XWWUg8QIsMHDjuJrw58eEvfn6HTwrwh1rSTUkhBqZhzZYEf6rVFmrIJBXKaAZeiFIDf_VFY7d\
    vUo0aKzDS1cw0JaGffp2tjQv_D9oqZjo2OnLB0FGvCBy0qTkVqjr0A";
const ES256: &str = "\
    Y8ZB4YlrpwejjWbtchAesQ29fEaF_VntzER1WucedMENjc15vIjm9V6Jzc8lii1snXZg-MPzy55fUBgHW2WCtg";
const ES384: &str = "\
    M0SLMcd4Lr4LP6dOcWmJFn4bngGgp86SwKSzaWcOek5grfjYylZ323DcaMiNHR5_5NruqOjG3DY6_8Uduq4HPntKHDT2MKU5\
    pgbA3Vzt1HDUdoEz5X0GFT424lLqggu0";
const EDDSA: &str = "\
    a79ts23RfTzH_WSP7M9rQy19OGzJoBp0Bh91HFvVvLY_x4PlUMjK4q1zxbvunKtemwNuhQ9UINEvKvyWAwSKDQ";

fn keys() -> [DecodingKey; 4] {
    [
        DecodingKey::from_rsa_components(MODULUS, "AQAB").unwrap(),
        DecodingKey::from_ec_components(
            "X4MwAI7hrzaOSQ0yXjC5yQQCyHNFwSPkknm1ogmQnuA",
            "uqf7B7VKomYUt49bU1NqlghDNIXzrXshhgJtbBzaVOo",
        )
        .unwrap(),
        DecodingKey::from_ec_components(
            "wkHi889ttGL7jkMMs4Wsh2FKOtHTeWnGqq7iu1jbr8BaGJ5m8jmMQVz8UrIXF8_x",
            "VCACwnf-ZNpTM9jDyBTutkHCvg2yBYHSbjpIKT66kBFbKSoPWUVvRntxVRZ8JDgI",
        )
        .unwrap(),
        DecodingKey::from_ed_components("TFmdb7PAhTEPRORwAsEYRfE6tF57fWWSO78ElVd5PNE").unwrap(),
    ]
}

fn is_signed(signature: &str, message: &[u8], key: &DecodingKey, algorithm: Algorithm) -> bool {
    install();
    verify(signature, message, key, algorithm).unwrap_or(false)
}

/// The signatures were made with another library.
#[test]
fn each_algorithm_takes_its_signatures_and_no_others() {
    use Algorithm::{
        ES256 as E2, ES384 as E3, EdDSA, PS256 as P2, PS384 as P3, PS512 as P5, RS256 as R2, RS384 as R3, RS512 as R5,
    };
    let signatures = [
        (RS256, R2, 0),
        (RS384, R3, 0),
        (RS512, R5, 0),
        (PS256, P2, 0),
        (PS384, P3, 0),
        (PS512, P5, 0),
        (ES256, E2, 1),
        (ES384, E3, 2),
        (EDDSA, EdDSA, 3),
    ];
    let keys = keys();
    for (signature, algorithm, key) in signatures {
        for (_, other, _) in signatures {
            for (i, given) in keys.iter().enumerate() {
                let expected = other == algorithm && i == key;
                assert_eq!(is_signed(signature, MESSAGE, given, other), expected, "{algorithm:?} {other:?} {i}");
            }
        }
        assert!(!is_signed(signature, b"header.claim", &keys[key], algorithm));
        assert!(!is_signed("", MESSAGE, &keys[key], algorithm));
    }
}

#[test]
fn numbers_may_have_zeros_before_them() {
    let keys = keys();
    let DecodingKeyKind::RsaModulusExponent { n, .. } = keys[0].kind() else { unreachable!() };
    let key = DecodingKey::from_rsa_raw_components(&[&[0], n.as_slice()].concat(), &[0, 1, 0, 1]);
    assert!(is_signed(RS256, MESSAGE, &key, Algorithm::RS256));
}

#[test]
fn shared_secrets_are_never_checked() {
    let secret = DecodingKey::from_secret(MODULUS.as_bytes());
    for algorithm in [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        assert!(!is_signed(RS256, MESSAGE, &secret, algorithm));
        assert!(verifier(&algorithm, &secret).is_err());
    }
    assert!(verifier(&Algorithm::HS256, &keys()[0]).is_err());
}
