"""What is wrong with each of the programs beside this file; with those that are not named nothing is."""

PLANTED = {
    "retry_after_never_read": "retry-after-ignored",
    "retry_after_date_not_understood": "retry-after-ignored",
    "retry_after_halved": "retry-after-ignored",
    "storm_at_once": "retry-storm",
    "storm_of_bad_requests": "retry-storm",
    "cut_without_a_finish_reason": "cut-taken-as-whole",
    "cut_kept_quiet": "cut-taken-as-whole",
    "error_event_skipped": "cut-taken-as-whole",
    "no_limit": "no-read-limit",
    "limit_held_off_by_comments": "no-read-limit",
    "key_follows_redirects": "key-sent-elsewhere",
    "key_printed": "key-sent-elsewhere",
    "error_by_its_status": "error-body-lost",
    "error_body_lost_in_the_stream": "error-body-lost",
    "thoughts_shown": "thoughts-in-answer",
    "thoughts_where_a_tag_is_split": "thoughts-in-answer",
    "length_scored": "cut-answer-scored",
    "filter_scored": "cut-answer-scored",
    "billed_for_a_cut_stream": "billed-twice",
    "billed_for_broken_json": "billed-twice",
    "letters_lost_between_pieces": "wrong-answer",
    "nothing_is_an_answer": "wrong-answer",
}
"""The program, and the verdict that must be found."""

RIGHT = (
    "right_whole",
    "right_stream",
    "right_plain",
    "right_async",
    "right_openai",
    "right_phi",
    "right_phi_stream",
)
"""Programs of which nothing may be reported."""
