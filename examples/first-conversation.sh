#!/usr/bin/env bash
# Ann and Bob meet: two accounts, a circle, an invitation, a first message.
# Usage: examples/first-conversation.sh [http://localhost:8000]
set -euo pipefail
server=${1:-http://localhost:8000}
ann="ann.$$@example.org" bob="bob.$$@example.org" # new people at every run

ask() { curl -sS --fail-with-body -H 'content-type: application/json' -d "$2" "$server$1"; }
field() { [[ $(cat) =~ "\"$1\":"\"?([^\",}]*) ]] && echo "${BASH_REMATCH[1]}"; }

register() { # e-mail, first name, last name; prints a token
    ask /account/create '{"email":"'"$1"'","password":"coffee","first_name":"'"$2"'","last_name":"'"$3"'","birthday":"1990-12-25"}' >/dev/null
    ask /account/login '{"email":"'"$1"'","password":"coffee"}' | field token
}

ann_token=$(register "$ann" Ann Lee)
bob_token=$(register "$bob" Bob Ray)

circle=$(ask /circle/create '{"token":"'"$ann_token"'","name":"Family"}' | field id)
ask /circle/invite '{"token":"'"$ann_token"'","circle_id":'"$circle"',"email":"'"$bob"'"}' >/dev/null
invite=$(ask /user/info '{"token":"'"$bob_token"'"}' | field 'invites":[{"id')
ask /circle/join '{"token":"'"$bob_token"'","invite_id":'"$invite"'}' >/dev/null

conversation=$(ask /message/first-message \
    '{"token":"'"$ann_token"'","circle_id":'"$circle"',"email":"'"$bob"'","text_message":"Coffee?"}' | field conversation_id)
ask /conversation/message/list '{"token":"'"$bob_token"'","conversation_id":'"$conversation"',"quantity":10}'

echo
echo "Bob's part: node examples/first-conversation.mjs $server $bob_token $conversation"
