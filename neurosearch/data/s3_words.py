"""What an S3 server answers that another try cannot mend, in words, with what to do."""

GIVE_KEYS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, in the environment of every node "
    "(they never stand in a config)."
)

#: Texts by the server's code; {place} is the address, {section} the config's section that says how it is reached.
REFUSALS = {
    "NoSuchBucket": "there is no bucket {bucket}. Make it, or check its name and {section}.endpoint.",
    "NoSuchKey": "there is no object {place}. Check its name.",
    "InvalidAccessKeyId": "{server} does not know the access key that {place} was asked for with. " + GIVE_KEYS,
    "SignatureDoesNotMatch": "the secret key does not fit the access key that {place} was asked for with. " + GIVE_KEYS,
    "AccessDenied": "the access key may not {deed} {place}. It needs the rights {rights}.",
    "ExpiredToken": "the credentials for {place} have expired. Get new ones, in the environment of every node.",
    "PermanentRedirect": "the bucket {bucket} is in another region than {section}.region. Set that to the bucket's.",
    "AuthorizationHeaderMalformed": "the bucket {bucket} is in another region than {section}.region. Set that to its.",
    "PreconditionFailed": "{place} was changed while it was read. Start again when nobody writes there.",
}
SAME = {"403": "AccessDenied", "404": "NoSuchKey", "301": "PermanentRedirect", "412": "PreconditionFailed"}
