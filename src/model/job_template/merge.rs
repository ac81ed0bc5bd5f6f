//! Laying one manifest over another.

use serde_json::Value;

/// How two lists of a manifest become one.
enum Lists {
    /// Items of the same name become one, field by field: a container of the template gets what sbrun sets.
    Deep(&'static str),
    /// Of two items of the same name the upper one stays whole: a volume or variable is one of several kinds, never two.
    Whole(&'static str),
    /// Equal items appear once.
    Union,
    /// The upper list stays.
    Upper,
}

fn lists(field: &str) -> Lists {
    match field {
        "containers" | "initContainers" => Lists::Deep("name"),
        "env" | "volumes" | "imagePullSecrets" => Lists::Whole("name"),
        "volumeMounts" => Lists::Whole("mountPath"),
        "volumeDevices" => Lists::Whole("devicePath"),
        "tolerations" | "envFrom" | "finalizers" => Lists::Union,
        _ => Lists::Upper,
    }
}

/// Returns `upper` laid over `lower`: maps are merged, named lists by name with the upper's items first, all else is the
/// upper's. `null` counts as absent.
pub(crate) fn merge(upper: Value, lower: Value) -> Value {
    merge_field("", upper, lower)
}

fn merge_field(field: &str, upper: Value, lower: Value) -> Value {
    match (upper, lower) {
        (Value::Null, lower) => lower,
        (Value::Object(mut upper), Value::Object(lower)) => {
            for (key, value) in lower {
                let above = upper.remove(&key).unwrap_or(Value::Null);
                let merged = merge_field(&key, above, value);
                if !merged.is_null() {
                    upper.insert(key, merged);
                }
            }
            Value::Object(upper)
        }
        (Value::Array(upper), Value::Array(lower)) => Value::Array(merge_lists(&lists(field), upper, lower)),
        (upper, _) => upper,
    }
}

fn merge_lists(how: &Lists, mut upper: Vec<Value>, lower: Vec<Value>) -> Vec<Value> {
    for item in lower {
        let same = match how {
            Lists::Upper => return upper,
            Lists::Union => upper.iter_mut().find(|above| **above == item),
            Lists::Deep(name) | Lists::Whole(name) => upper.iter_mut().find(|above| above[*name] == item[*name]),
        };
        match same {
            Some(above) if matches!(how, Lists::Deep(_)) => *above = merge(above.take(), item),
            Some(_) => {}
            None => upper.push(item),
        }
    }
    upper
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_are_merged_and_the_upper_one_wins() {
        let merged = merge(json!({"a": 1, "b": {"x": 1}}), json!({"a": 2, "b": {"x": 2, "y": 3}, "c": 4, "d": null}));
        assert_eq!(merged, json!({"a": 1, "b": {"x": 1, "y": 3}, "c": 4}));
    }

    #[test]
    fn containers_are_merged_by_name_and_sidecars_come_last() {
        let upper = json!({"containers": [{"name": "flow", "image": "ours", "env": [{"name": "A", "value": "1"}]}]});
        let lower = json!({"containers": [
            {"name": "sidecar", "image": "proxy"},
            {"name": "flow", "image": "theirs", "tty": true, "env": [{"name": "A", "valueFrom": {}}, {"name": "B", "value": "2"}]},
        ]});
        let expected = json!({"containers": [
            {"name": "flow", "image": "ours", "tty": true, "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"name": "sidecar", "image": "proxy"},
        ]});
        assert_eq!(merge(upper, lower), expected);
    }

    #[test]
    fn a_volume_is_never_of_two_kinds_and_one_volume_may_be_mounted_twice() {
        let upper = json!({
            "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory"}}],
            "volumeMounts": [{"name": "data", "mountPath": "/a"}, {"name": "data", "mountPath": "/b"}],
        });
        let lower = json!({
            "volumes": [{"name": "tmp", "persistentVolumeClaim": {"claimName": "x"}}, {"name": "data", "emptyDir": {}}],
            "volumeMounts": [{"name": "tmp", "mountPath": "/a"}, {"name": "tmp", "mountPath": "/tmp"}],
        });
        let expected = json!({
            "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory"}}, {"name": "data", "emptyDir": {}}],
            "volumeMounts": [{"name": "data", "mountPath": "/a"}, {"name": "data", "mountPath": "/b"}, {"name": "tmp", "mountPath": "/tmp"}],
        });
        assert_eq!(merge(upper, lower), expected);
    }

    #[test]
    fn tolerations_appear_once_and_commands_are_never_mixed() {
        let upper = json!({"tolerations": [{"key": "a"}], "command": ["x"]});
        let lower = json!({"tolerations": [{"key": "a"}, {"key": "b"}], "command": ["y", "z"]});
        assert_eq!(merge(upper, lower), json!({"tolerations": [{"key": "a"}, {"key": "b"}], "command": ["x"]}));
    }
}
