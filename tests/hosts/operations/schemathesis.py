"""What JSON Schema has no word for: a date of birth is before today."""

import re

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    # A year of the past takes the place of another, in every date of the documented form. What
    # else is wrong with a body stays wrong.
    date = case.body.get("dateOfBirth") if isinstance(case.body, dict) else None
    if isinstance(date, str) and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", date):
        year = int(date[:4])
        if year >= 2020:
            # As far from a leap year: 29 February stays a day.
            case.body["dateOfBirth"] = f"{2000 + year % 4}{date[4:]}"
