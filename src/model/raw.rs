//! One place of a JSON text, without building the rest.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::Text;

/// The JSON text at an RFC 6901 pointer.
pub(crate) fn at_pointer<'o>(json: &'o str, pointer: &str) -> Option<&'o str> {
    pointer.split('/').skip(1).try_fold(json, |json, token| {
        if json.trim_start().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            items.get(token.parse::<usize>().ok()?).map(|item| item.get())
        } else {
            let members: HashMap<Text<'_>, &RawValue> = serde_json::from_str(json).ok()?;
            let member =
                if token.contains('~') { members.get(&*token.replace("~1", "/").replace("~0", "~")) } else { members.get(token) };
            member.map(|member| member.get())
        }
    })
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
