//! One place of a JSON text, without building the rest.

use super::json::{Read, Reader};

/// The JSON text at an RFC 6901 pointer.
pub(crate) fn at_pointer<'o>(json: &'o str, pointer: &str) -> Option<&'o str> {
    pointer.split('/').skip(1).try_fold(json, |json, token| Reader::whole(json, |reader| below(reader, token)).ok().flatten())
}

/// The last member of a key, or the item of an index.
fn below<'o>(reader: &mut Reader<'o>, token: &str) -> Read<Option<&'o str>> {
    let mut found = None;
    if reader.peek() == Some(b'[') {
        let wanted = token.parse::<usize>().ok();
        let mut index = 0;
        reader.items(|reader| {
            let item = reader.raw()?;
            if wanted == Some(index) {
                found = Some(item.get());
            }
            index += 1;
            Ok(())
        })?;
    } else {
        let unescaped = token.contains('~').then(|| token.replace("~1", "/").replace("~0", "~"));
        let wanted = unescaped.as_deref().unwrap_or(token);
        reader.entries(|reader, key| {
            let member = reader.raw()?;
            if *key == *wanted {
                found = Some(member.get());
            }
            Ok(())
        })?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::at_pointer;

    #[test]
    fn follows_members_and_items() {
        let json = r#" {"a": {"b/c": [1, {"d~": "x"}]}} "#;
        assert_eq!(at_pointer(json, "/a/b~1c/1/d~0"), Some(r#""x""#));
        assert_eq!(at_pointer(json, "/a/b~1c/0"), Some("1"));
        for missing in ["/a/b", "/a/b~1c/2", "/a/b~1c/x", "/a/b~1c/0/x", "/x"] {
            assert_eq!(at_pointer(json, missing), None, "{missing}");
        }
        assert_eq!(at_pointer(json, ""), Some(json));
    }
}
