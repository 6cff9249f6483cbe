"""hello's PUT and GET as FastAPI's tutorial teaches them: a baseline of `cargo xtask bench compare`."""

import os
from collections.abc import AsyncIterator
from datetime import date, datetime, timezone
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Path
from prometheus_fastapi_instrumentator import Instrumentator
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession


class User(SQLModel, table=True):
    __tablename__ = "users"

    username: str = Field(primary_key=True)
    date_of_birth: date


class Birthday(BaseModel):
    dateOfBirth: date


class Greeting(BaseModel):
    message: str


engine = create_async_engine(os.environ["DATABASE_URL"])


async def get_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine) as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]
Username = Annotated[str, Path(pattern="^[A-Za-z]{1,64}$")]

app = FastAPI()
Instrumentator().instrument(app).expose(app)


@app.put("/hello/{username}", status_code=204)
async def save(username: Username, birthday: Birthday, session: Session) -> None:
    if birthday.dateOfBirth >= today():
        raise HTTPException(400, "dateOfBirth must be before today (UTC)")
    user = await session.get(User, username)
    if user:
        user.date_of_birth = birthday.dateOfBirth
    else:
        user = User(username=username, date_of_birth=birthday.dateOfBirth)
    session.add(user)
    await session.commit()


@app.get("/hello/{username}")
async def greet(username: Username, session: Session) -> Greeting:
    user = await session.get(User, username)
    if not user:
        raise HTTPException(404, "user not found")
    days = days_until(user.date_of_birth, today())
    rest = f"Your birthday is in {days} day(s)" if days else "Happy birthday!"
    return Greeting(message=f"Hello, {username}! {rest}")


def today() -> date:
    return datetime.now(timezone.utc).date()


def days_until(born: date, today: date) -> int:
    this_year = anniversary(born, today.year)
    following = this_year if this_year >= today else anniversary(born, today.year + 1)
    return (following - today).days


def anniversary(born: date, year: int) -> date:
    try:
        return born.replace(year=year)
    except ValueError:  # 29 February is celebrated on the 28th in common years.
        return date(year, 2, 28)
