"""Rules about where a value of somebody else's choice ends up."""

from penstock_agent_security_scanner.rule import Rule

SQL = Rule(
    "sql-injection",
    "high",
    "CWE-89",
    "A database statement is put together from text that is not constant.",
    "Pass values as parameters of the statement; choose identifiers from a fixed list.",
)
COMMAND = Rule(
    "command-injection",
    "high",
    "CWE-78",
    "A shell command line is put together from text that is not constant.",
    "Start the program with a list of arguments and without a shell.",
)
CODE = Rule(
    "code-injection",
    "high",
    "CWE-94",
    "Text is run as program code.",
    "Parse the data instead of evaluating it.",
)
TEMPLATE = Rule(
    "template-injection",
    "high",
    "CWE-1336",
    "The source of a template holds text from outside.",
    "Keep templates constant and pass values to them.",
)
PATH = Rule(
    "path-traversal",
    "high",
    "CWE-22",
    "A file path holds text from an HTTP request.",
    "Resolve the path and refuse it unless it lies below the intended folder.",
)
XXE = Rule(
    "xml-external-entities",
    "high",
    "CWE-611",
    "An XML parser is allowed to resolve entities or load a DTD.",
    "Switch off entity resolution, DTD loading and network access, or use defusedxml.",
)
SSRF = Rule(
    "server-side-request-forgery",
    "high",
    "CWE-918",
    "The server fetches an address that a client chooses.",
    "Choose the host from a fixed list; refuse private addresses after resolving the name.",
)
XSS = Rule(
    "cross-site-scripting",
    "high",
    "CWE-79",
    "A page holds text from a request without escaping.",
    "Use a template with automatic escaping, or escape the value for its place.",
)
REDIRECT = Rule(
    "open-redirect",
    "medium",
    "CWE-601",
    "A redirect leads where the request says.",
    "Allow paths of this site only, or choose the target from a fixed list.",
)
LDAP = Rule(
    "ldap-injection",
    "high",
    "CWE-90",
    "A directory query is put together from text that is not constant.",
    "Escape values for filters (escape_filter_chars) and names (escape_rdn).",
)
XPATH = Rule(
    "xpath-injection",
    "high",
    "CWE-643",
    "An XPath query is put together from text that is not constant.",
    "Pass values as XPath variables.",
)
NOSQL = Rule(
    "nosql-injection",
    "high",
    "CWE-943",
    "A document query holds a structure that a client chooses.",
    "Turn values into plain text or numbers before they enter the query.",
)
HEADER = Rule(
    "header-injection",
    "medium",
    "CWE-113",
    "A response header holds text from a request.",
    "Refuse line breaks, or choose the value from a fixed list.",
)
LOG = Rule(
    "log-injection",
    "low",
    "CWE-117",
    "A log line holds text from a request.",
    "Take line breaks out, or log structured fields.",
)
FORMAT = Rule(
    "format-string",
    "medium",
    "CWE-134",
    "The template of a text is chosen by a client.",
    "Keep the template constant; pass the text as a value.",
)
REGEX = Rule(
    "regular-expression-injection",
    "medium",
    "CWE-1333",
    "A regular expression holds text from a request.",
    "Escape the text with re.escape, or use an engine without backtracking.",
)
SLOW_REGEX = Rule(
    "slow-regular-expression",
    "medium",
    "CWE-1333",
    "A regular expression with nested repetition is applied to text from a request.",
    "Rewrite it without nested repetition, or bound the text's length.",
)
TRUST = Rule(
    "trust-boundary",
    "low",
    "CWE-501",
    "Text from a request is stored in the session unchecked.",
    "Check the value before the session vouches for it.",
)
UPLOAD = Rule(
    "file-upload",
    "medium",
    "CWE-434",
    "An uploaded file is stored under its own name and type.",
    "Choose the name yourself and allow a fixed list of types.",
)
LEAK = Rule(
    "information-exposure",
    "medium",
    "CWE-209",
    "A page shows details of an exception.",
    "Log the details; tell the client a number to ask for.",
)
