//! The test database (geo/test_database.py made it), whole and broken.

use super::*;

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("geo/test.mmdb")
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn every_shape_of_record() {
    let db = Db::open(&[shipped()]).unwrap();
    for (address, want) in [
        (
            "192.0.2.1",
            Some(Place {
                country: some("DE"),
                country_name: some("Germany"),
                region: some("HE"),
                region_name: some("Hesse"),
                city: some("Frankfurt am Main"),
                postal_code: some("60313"),
                time_zone: some("Europe/Berlin"),
                latitude: Some(50.1188),
                longitude: Some(8.6843),
                ..Place::default()
            }),
        ),
        (
            "192.0.2.255",
            Some(Place {
                country: some("US"),
                country_name: some("United States"),
                region: some("OR"),
                region_name: some("Oregon"),
                city: some("Portland"),
                metro_code: Some(820),
                time_zone: some("America/Los_Angeles"),
                latitude: Some(45.5235),
                longitude: Some(-122.6762),
                ..Place::default()
            }),
        ),
        ("198.51.100.1", Some(Place { asn: Some(64496), as_name: some("Example Net"), ..Place::default() })),
        (
            "198.51.100.200",
            Some(Place {
                country: some("AU"),
                region_name: some("New South Wales"),
                city: some("Sydney"),
                latitude: Some(-33.8688),
                longitude: Some(151.209),
                ..Place::default()
            }),
        ),
        ("203.0.113.1", Some(Place { country: some("US"), ..Place::default() })),
        ("203.0.113.130", None),
        ("203.0.113.200", None),
        ("203.0.113.250", None),
        ("10.0.0.1", None),
        ("::ffff:203.0.113.1", Some(Place { country: some("US"), ..Place::default() })),
        ("2001:db8::1", Some(Place { country: some("JP"), country_name: some("Japan"), ..Place::default() })),
        ("2001:db8:1::1", Some(Place { country: some("BR"), ..Place::default() })),
        ("2001:db8:2::1", None),
        ("::1", None),
    ] {
        assert_eq!(db.lookup(address.parse().unwrap()), want, "{address}");
    }
}

#[test]
fn a_directory_is_all_its_databases() {
    let dir = tempfile::tempdir().unwrap();
    let all = [dir.path().to_owned()];
    assert_eq!(Db::open(&all).unwrap_err(), GeoError::Empty { path: dir.path().to_owned() });
    for name in ["a.mmdb", "b.mmdb", "notes.txt"] {
        std::fs::copy(shipped(), dir.path().join(name)).unwrap();
    }
    let db = Db::open(&all).unwrap();
    assert_eq!(db.files.len(), 2);
    assert_eq!(db.lookup("203.0.113.1".parse().unwrap()).unwrap().country, some("US"));
    std::fs::write(dir.path().join("c.mmdb"), "not one").unwrap();
    assert!(matches!(Db::open(&all), Err(GeoError::Broken { path, .. }) if path.ends_with("c.mmdb")));
    for n in 0..FILES_MAX {
        std::fs::copy(shipped(), dir.path().join(format!("{n}.mmdb"))).unwrap();
    }
    assert!(matches!(Db::open(&all), Err(GeoError::TooMany { .. })));
    assert!(matches!(Db::open(&[shipped(), dir.path().join("none")]), Err(GeoError::Read { .. })));
}

#[test]
fn what_one_file_lacks_another_fills_in() {
    let mut place = Place { country: some("DE"), latitude: Some(1.0), ..Place::default() };
    let record: record::Record = serde_json::from_str(
        r#"{"country_code": "FR", "city": "Paris", "latitude": 2.0, "longitude": 3.0, "timezone": "", "postcode": "1"}"#,
    )
    .unwrap();
    record.fill(&mut place);
    let want = Place {
        country: some("DE"),
        city: some("Paris"),
        postal_code: some("1"),
        latitude: Some(1.0),
        ..Place::default()
    };
    assert_eq!(place, want);
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let whole = std::fs::read(shipped()).unwrap();
    for length in 0..whole.len() {
        assert!(file::File::parse(whole[..length].to_vec()).is_err(), "{length} bytes");
        // Its end without its beginning.
        if let Ok(file) = file::File::parse(whole[whole.len() - length..].to_vec()) {
            file.find("192.0.2.1".parse().unwrap());
        }
    }
}

#[test]
fn a_file_with_any_byte_changed_never_panics() {
    let whole = std::fs::read(shipped()).unwrap();
    let addresses: Vec<IpAddr> =
        ["192.0.2.1", "198.51.100.1", "198.51.100.200", "203.0.113.1", "2001:db8::1", "255.255.255.255", "::"]
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
    let mut refused = 0;
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut broken = whole.clone();
            broken[at] ^= flip;
            match file::File::parse(broken) {
                Ok(file) => addresses.iter().for_each(|address| {
                    if let Some(record) = file.find(*address) {
                        record.fill(&mut Place::default());
                    }
                }),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100, "{refused}");
}
