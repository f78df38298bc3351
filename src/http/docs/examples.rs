//! Example values of the keys that requests and answers hold.

use serde_json::{Value, json};

/// The example of a key; `None` for keys that any value of their type explains.
pub(super) fn example_of(key: &str) -> Option<Value> {
    Some(match key {
        "email" => json!("ann@example.org"),
        "password" | "new_password" | "repeat_password" => json!("coffee and cake"),
        "previous_password" => json!("coffee"),
        "first_name" => json!("Ann"),
        "last_name" => json!("Lee"),
        "birthday" => json!("1990-12-25"),
        "name" | "conversation_name" => json!("Family"),
        "device_name" => json!("Kitchen"),
        "username" | "device_username" => json!("ABCDEFGHIJKL"),
        "token" | "device_token" | "access_token" | "api_token" => {
            json!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjF9.c2lnbmF0dXJl")
        }
        "text_message" | "text_content" => json!("Coffee?"),
        "client_ref" => json!("ann-1"),
        "created" | "updated" | "sent" | "upload_time" | "read" => {
            json!("Thu, 11 Oct 2018 09:00:00 GMT")
        }
        "purpose" => json!("profile"),
        "filename" => json!("cat"),
        "extension" => json!(".png"),
        "identifier" | "file" => json!("cat.png"),
        "uploaded" => json!("True"),
        "data" => json!("data:image/png;base64,iVBORw0KGgo="),
        "uuid" | "file_uuid" => json!("0b6f2c0e-6f0a-4f6e-9b0e-2f1f8f0f7a11"),
        "premium_until" => json!("2030-01-01T00:00:00Z"),
        "privilege" => json!("REGULAR"),
        "type" => json!("DEFAULT"),
        "message" => json!("the token is good"),
        "detail" => json!("Not authenticated"),
        "code" => json!("unauthorized"),
        "transport" => json!("polling"),
        "EIO" => json!(4),
        "urls" => json!("turn:chat.example.org:3478?transport=udp"),
        "quantity" => json!(50),
        "ttl" | "expires_in" => json!(86_400),
        "price" | "balance" | "balance_delta" => json!(5),
        "medias" | "files" => json!(["cat.png"]),
        _ => return None,
    })
}
