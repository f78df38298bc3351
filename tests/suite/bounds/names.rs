//! Names of files, on their way in and out.

use serde_json::json;

use crate::support::world::World;

#[tokio::test]
async fn files_keep_their_names() {
    let world = World::open().await;
    let ann = world.person("ann").await;
    let http = reqwest::Client::new();
    for (announced, disposition, filename, extension, offered) in [
        ("cat #1.png", r#"filename="cat #1.png""#, "cat__1", ".png", r#"filename="cat #1.png""#),
        (
            "a.png",
            "filename*=utf-8''K%C3%A4tzchen.png",
            "K_tzchen",
            ".png",
            r#"filename="K_tzchen.png""#,
        ),
        (
            "Kätzchen.png",
            "filename*=UTF-8''K%C3%A4tzchen.png",
            "K_tzchen",
            ".png",
            r#"filename="K_tzchen.png""#,
        ),
        (
            "a.png",
            "filename*=utf-8''%FF.png; filename=\"b.gif\"",
            "b",
            ".gif",
            r#"filename="b.gif""#,
        ),
    ] {
        let wish =
            json!({ "token": ann.token, "medias": [{ "purpose": "face", "name": announced }] });
        let media = world.ok("/media/create", wish).await["media_list"][0]["id"].clone();
        let body = format!(
            "--B\r\nContent-Disposition: form-data; name=\"file\"; {disposition}\r\n\r\nhi\r\n--B--\r\n"
        );
        let answer = http
            .post(format!("{}/media/upload/{media}", world.url()))
            .header("authorization", &ann.token)
            .header("content-type", "multipart/form-data; boundary=B")
            .body(body);
        assert_eq!(answer.send().await.unwrap().status(), 200, "{disposition}");
        let info = world.ok("/media/info", json!({ "token": ann.token, "media_id": media })).await;
        assert_eq!(info["content"]["filename"], filename, "{disposition}");
        assert_eq!(info["content"]["extension"], extension, "{disposition}");
        let got = http.get(format!("{}/media/file/{media}", world.url()));
        let got = got.header("authorization", &ann.token).send().await.unwrap();
        let shown = got.headers()["content-disposition"].to_str().unwrap();
        assert!(shown.contains(&format!("; {offered}; filename*=UTF-8''")), "{shown}");
    }
}
