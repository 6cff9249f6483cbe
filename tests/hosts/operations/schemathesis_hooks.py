"""What JSON Schema cannot say of a date of birth: it is before today."""

from datetime import date, timedelta

import schemathesis
from hypothesis import strategies as st

yesterday = date.today() - timedelta(days=1)
schemathesis.openapi.format("date", st.dates(max_value=yesterday).map(date.isoformat))
