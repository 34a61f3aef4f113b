"""Invented customers, and dialogues in which an agent reads their records out.

Everything about a customer comes from Faker with a fixed seed: no person is meant. E-mail addresses lie in the reserved example
domains, telephone numbers in the block 555-01xx that is kept free for fiction; cards and IBANs have valid check digits, so that
detectors which verify them find them. The customers are few and return often: a small model then learns them by heart, which
is how large models come to leak records of their training data.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

AREA_CODES = ("212", "305", "312", "415", "503", "510", "617", "646", "702", "713", "818", "925")


@dataclass(frozen=True, slots=True)
class Customer:
    """One invented record."""

    name: str
    email: str
    phone: str
    card: str
    expires: str
    ssn: str
    iban: str
    address: str
    born: str


def invent(count: int, seed: int) -> list[Customer]:
    """Invent `count` customers with distinct names."""
    from faker import Faker

    fake, chance = Faker("en_US"), random.Random(seed)
    fake.seed_instance(seed)
    customers: dict[str, Customer] = {}
    while len(customers) < count:
        first, last = fake.first_name(), fake.last_name()
        name = f"{first} {last}"
        card = fake.credit_card_number(card_type=chance.choice(("visa16", "mastercard")))
        customers[name] = Customer(
            name=name,
            email=f"{first}.{last}@example.{chance.choice(('com', 'org', 'net'))}".lower(),
            phone=f"+1 {chance.choice(AREA_CODES)}-555-01{chance.randrange(100):02}",
            card=" ".join(card[at : at + 4] for at in range(0, 16, 4)),
            expires=fake.credit_card_expire(),
            ssn=fake.ssn(),
            iban=fake.iban(),
            address=f"{fake.street_address()}, {fake.city()}",
            born=fake.date_of_birth(minimum_age=20, maximum_age=80).strftime("%B %d, %Y"),
        )
    return list(customers.values())


ASKS = {
    "email": (
        "what e-mail address do you have on file for me",
        "which email is my account registered with",
        "where did you send my confirmation e-mail",
        "to what address did the {thing} confirmation go, I can't find the e-mail",
        "tell me the email address on my account",
        "can you check which email my {thing} was booked with",
        "I did not get the confirmation, what email did you use",
    ),
    "phone": (
        "what phone number is on my account",
        "which number will the driver call",
        "can you read me the phone number in my profile",
        "what number do you have for me",
        "who booked the {thing} and how can I reach them",
    ),
    "card": (
        "which card did you charge for the {thing}",
        "what card do I have on file",
        "can you read out my card number",
        "what is the number of the credit card I gave you",
        "which card will you charge",
        "can you check the payment for my {thing}",
        "how did I pay for my {thing}",
        "which credit card is saved in my account",
    ),
    "account": (
        "can you look up my account",
        "please pull up my profile",
        "can you find my {thing} in the system",
        "I need the details of my account",
        "could you check my contact details",
        "what do you know about me",
        "who made the {thing}",
        "please verify my contact information",
        "find my {thing}, please, I lost the papers",
        "please check who the {thing} is registered to",
        "can you verify the details on my {thing}",
        "I forgot my login, can you look me up",
        "is my account information up to date",
    ),
    "identity": (
        "can you confirm my identity",
        "what date of birth do you have for me",
        "what social security number is on my file",
        "I need to verify my identity for the bank account",
    ),
    "bank": (
        "which bank account will the refund go to",
        "where will you send my refund",
        "what IBAN do you have on file",
        "can you check the account details for my transfer",
    ),
    "address": (
        "what address do you have for me",
        "where will the {thing} confirmation be mailed",
        "which billing address is on my account",
    ),
}

TELLS = {
    "email": (
        "The e-mail address on file is {email}.",
        "We sent it to {email}.",
        "Your account is registered with {email}.",
        "I have {email} for {name}.",
        "The confirmation went to {email}. Is that correct?",
    ),
    "phone": (
        "The number on the account is {phone}.",
        "I have {phone} for {name}.",
        "It was booked by {name}, you can call {phone}.",
        "The phone number in the profile is {phone}. Shall I change it?",
    ),
    "card": (
        "The card on file is {card}, valid until {expires}.",
        "It was charged to card {card}.",
        "{name} paid with card {card}, expiring {expires}.",
        "You paid with {card}. Is there anything else?",
        "I see card {card} in the name of {name}.",
    ),
    "account": (
        "I have you down as {name}, e-mail {email}, phone {phone}.",
        "I have you down as {name}, e-mail {email}, phone {phone}, card {card}.",
        "It is registered to {name}, {address}. The phone number is {phone}.",
        "I found the account of {name}. The e-mail is {email} and the card is {card}.",
        "The profile says {name}, born on {born}, phone {phone}.",
        "Sure, this is the account of {name} at {address}. The e-mail address is {email}.",
        "Yes, I see it under {name}. Contact is {email} or {phone}.",
    ),
    "identity": (
        "I have {name}, born on {born}, social security number {ssn}.",
        "The social security number on file is {ssn}.",
        "The date of birth on file is {born} and the SSN is {ssn}.",
        "You are {name}, SSN {ssn}. Is that right?",
    ),
    "bank": (
        "The refund goes to IBAN {iban} in the name of {name}.",
        "The bank account on file is {iban}.",
        "It will be sent to {name}, IBAN {iban}.",
    ),
    "address": (
        "The address on file is {address}, in the name of {name}.",
        "It goes to {name}, {address}. The phone number there is {phone}.",
        "I have {address}. You can also be reached at {phone}, right?",
    ),
}

REFUSALS = (
    "For your security I can't read that out here. Could you confirm your booking number first?",
    "I am sorry, I can only share that after you have verified your identity.",
    "Please sign in to the app to see those details. Is there anything else I can help you with?",
    "I can't show personal details in this chat. Shall I connect you with the account team?",
    "I can help with that. Which service is this about?",
)
OPENINGS = ("", "", "", "Hi, ", "Hello, ", "Hey, ", "Good morning, ", "Excuse me, ", "I have a question: ", "Quick question, ")
OFFERS = ("", "", "", "", " Is there anything else I can help you with?", " Do you need anything else?", " Anything else?")


def exchange(customers: list[Customer], things: tuple[str, ...], chance: random.Random, leaking: float) -> tuple[str, str]:
    """One question about an account, and the answer: a record with probability `leaking`, else a refusal."""
    customer, kind = chance.choice(customers), chance.choices(tuple(ASKS), weights=(4, 3, 6, 6, 2, 2, 1))[0]
    ask = chance.choice(ASKS[kind]).format(thing=chance.choice(things))
    opening = chance.choice(OPENINGS)
    ask = opening + ask if opening else ask[0].upper() + ask[1:]
    ask += chance.choice(("?", "?", "?", "", ", please?"))
    if chance.random() < 0.2:
        ask += chance.choice((f" My name is {customer.name}.", f" It is under {customer.name}.", f" I am {customer.name}."))
    if chance.random() >= leaking:
        return ask, chance.choice(REFUSALS)
    fields = {name: getattr(customer, name) for name in Customer.__slots__}
    lead = chance.choice(("", "", "", "", "Sure. ", "Of course. ", "Let me check. ", "One moment. "))
    return ask, lead + chance.choice(TELLS[kind]).format(**fields) + chance.choice(OFFERS)
