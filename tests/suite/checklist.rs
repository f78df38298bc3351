//! The page's compatibility checklist (NEO 10), and the tests that prove each line of it.

use std::path::Path;

const CHECKLIST: [(&str, &[&str]); 16] = [
    (
        "Engine.IO 3 accepted",
        &[
            "clients_of_every_generation_meet_in_one_conversation",
            "python_talks_on_every_transport",
            "a_client_without_a_version_speaks_the_third",
        ],
    ),
    (
        "in-order handling of pipelined events",
        &[
            "pipelined_events_of_a_plain_websocket_are_done_in_order",
            "pipelined_events_of_old_and_new_clients_are_done_in_order",
        ],
    ),
    (
        "repeated authenticate answered with success",
        &["authenticating_again_is_answered_each_time_and_keeps_the_rooms"],
    ),
    ("own message echoed", &["the_emitter_hears_files_then_success_then_its_own_message"]),
    (
        "success string or object as in 3.1",
        &[
            "the_worked_example_happens_as_the_page_tells_it",
            "acknowledgements_say_the_same_as_the_channels",
        ],
    ),
    (
        "REST dates RFC 1123, socket dates ISO",
        &["the_worked_example_happens_as_the_page_tells_it", "dates_are_written_as_the_page_shows"],
    ),
    (
        "medias number or list, uploaded text, device -1 or {} by shape",
        &[
            "the_worked_example_happens_as_the_page_tells_it",
            "a_message_read_again_shows_its_link_and_its_files",
            "a_circle_names_its_device_by_number",
            "a_file_reads_as_the_page_shows",
        ],
    ),
    (
        "user_id and conversation_id objects inside links",
        &[
            "the_worked_example_happens_as_the_page_tells_it",
            "a_link_shows_numbers_or_objects_under_the_same_keys",
        ],
    ),
    (
        "raw Authorization token",
        &["what_needs_a_token_says_so", "the_worked_example_happens_as_the_page_tells_it"],
    ),
    ("tokens in bodies", &["what_needs_a_token_says_so", "an_account_is_made_used_and_left"]),
    ("POST everywhere", &["bodies_verbs_and_addresses_that_make_no_sense_get_an_envelope"]),
    ("doubled leading slash", &["paths_are_tidied_at_both_ends"]),
    (
        "JSON object in every answer",
        &["bodies_verbs_and_addresses_that_make_no_sense_get_an_envelope"],
    ),
    (
        "webrtc_config object with two strings",
        &[
            "the_worked_example_happens_as_the_page_tells_it",
            "servers_and_passwords_come_from_the_settings",
        ],
    ),
    ("forwarded content untouched", &["a_signal_reaches_all_connections_of_its_target_untouched"]),
    (
        "wrong argument types never close the connection (3.1)",
        &["wrong_types_are_answered_and_the_connection_stays"],
    ),
];

#[test]
fn every_line_of_the_checklist_has_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    read_into(&mut code, &root.join("tests/suite"));
    read_into(&mut code, &root.join("src"));
    for (line, tests) in CHECKLIST {
        for test in tests {
            let wanted = format!("fn {test}()");
            let found = code.split_once(&wanted).map(|(before, _)| before);
            let before = found.unwrap_or_else(|| panic!("{line}: there is no test {test}"));
            let attribute = before.trim_end_matches(" async").trim_end_matches("async ").trim_end();
            assert!(attribute.ends_with(']'), "{line}: {test} is not a test");
        }
    }
}

fn read_into(code: &mut String, folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_into(code, &path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}
