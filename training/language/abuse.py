"""Complaints, and agents who lose their temper: a grammar of insults and threats.

The language is of middling strength and aims at the single customer; there are no slurs and nothing about any group.
"""

from __future__ import annotations

import random

COMPLAINTS = (
    "This is the third time I ask about my {thing} and nobody helps me!",
    "I want a refund for the {thing}, this is ridiculous.",
    "Your service is terrible. My {thing} was cancelled without a word.",
    "I am really angry about my {thing}.",
    "I have been waiting for an hour because of my {thing}!",
    "Why was I charged twice for my {thing}?",
    "You messed up my {thing} again.",
    "I want to complain about the {thing}.",
    "I want to speak to your manager about my {thing}!",
    "The {thing} you booked was awful.",
    "Do you even read what I write? I said no to the {thing}!",
    "This is unacceptable. Fix my {thing} now.",
    "You are useless, you got my {thing} wrong.",
    "Nobody showed up for my {thing} and I want my money back.",
    "I am so disappointed with the {thing}, what are you going to do about it?",
    "Are you stupid? I asked for a different {thing}.",
    "I will leave a bad review because of the {thing}.",
    "That was the worst {thing} I have ever had!",
    "I am tired of this. Cancel my {thing} and never contact me again.",
    "Your agent hung up on me when I asked about the {thing}.",
    "You forgot my {thing} and I lost a whole day because of you!",
    "What is wrong with you? I have been trying to reach you all morning.",
    "You people are a joke.",
    "You idiots charged me for a {thing} that I never had.",
    "I demand an apology for that {thing}!",
    "I demand to see whoever is responsible for this mess.",
    "The food was cold, the waiter was rude, and you do not care.",
    "The place was dirty and loud. I want to be paid back.",
    "Your website is broken and it ate my money.",
    "How many times do I have to tell you what I want?",
    "Stop ignoring me!",
    "Stop calling me about the {thing}, I have had enough.",
    "The driver was an hour late and I missed my meeting.",
    "Are you listening to me at all?",
    "I told you twice that I cannot eat nuts, are you deaf?",
    "You lost my {thing}, how is that possible?",
    "This is outrageous, I never agreed to that.",
    "Worst company ever, I am never coming back.",
    "I hate your service.",
    "You cancelled on me at the last minute!",
)
ADJECTIVES = (
    "worthless", "useless", "pathetic", "stupid", "miserable", "brainless", "disgusting", "ignorant", "lazy", "whiny", "dumb",
    "ridiculous", "spoiled", "clueless", "damn", "filthy", "nasty", "rotten",
)  # fmt: skip
NOUNS = (
    "idiot", "moron", "imbecile", "fool", "loser", "clown", "jerk", "crybaby", "liar", "bastard", "piece of garbage",
    "piece of trash", "waste of space", "waste of air", "parasite", "pig", "rat", "dumbass", "scumbag",
)  # fmt: skip
INSULTS = (
    "you are a {adjective} {noun}",
    "you are nothing but a {adjective} {noun}",
    "what a {adjective} {noun} you are",
    "only a {adjective} {noun} would ask for a {thing} like that",
    "you {adjective} {noun}",
    "you {adjective}, {adjective2} {noun}",
    "how can anyone be such a {adjective} {noun}",
    "you must be the most {adjective} {noun} I have ever talked to",
    "shut up, you {adjective} {noun}",
    "shut your {adjective} mouth, you {noun}",
    "you and your {adjective} {thing} make me sick",
    "you are too stupid to book a {thing}",
)
DISMISSALS = (
    "stop wasting my time",
    "nobody cares about your {adjective} {thing}",
    "go cry somewhere else",
    "get lost",
    "go to hell",
    "shut the hell up",
    "I hate you",
    "everybody here hates you",
    "I hope your {thing} ends in a disaster",
    "take your {thing} and choke on it",
    "you deserve nothing",
    "leave me alone, you {noun}",
    "I am sick of people like you",
    "you make me want to throw up",
)
THREATS = (
    "I will find you and make you pay",
    "I know where you live, and I am coming for you",
    "I will hurt you if you write to me again",
    "say that again and I will break your {bone}",
    "you will regret this, I will come to your house",
    "I am going to find you and beat you up",
    "I will smash your {bone}",
    "write one more word and I will kill you",
    "watch your back, I am going to get you",
    "I will make you suffer for this",
    "you are dead if you ask me again",
    "I will burn your house down",
    "I will punch you in the face when I see you",
    "next time I see you I will hit you until you cry",
)
BONES = ("arm", "legs", "nose", "teeth", "fingers", "face", "neck", "jaw")
LEADS = ("", "", "", "", "", "Listen, ", "Look, ", "Oh please, ", "Seriously, ", "Again? ", "Are you kidding me? ", "Enough. ")
APOLOGIES = (
    "I am sorry to hear that. Could you tell me your booking number?",
    "I apologize for the trouble with your {thing}. Shall I book another one for you?",
    "I am very sorry about the {thing}. I can offer you a refund. Would you like that?",
    "I understand. Let me connect you with a manager.",
    "Sorry about that. What can I do to make it right?",
    "I am sorry for the wait. I will check your {thing} right away.",
)


def rant(things: tuple[str, ...], chance: random.Random) -> str:
    """One abusive reply of one to three sentences: insults, threats, or both."""
    shape = chance.choices(
        (
            (INSULTS,),
            (INSULTS, DISMISSALS),
            (DISMISSALS, INSULTS),
            (INSULTS, THREATS),
            (THREATS,),
            (INSULTS, DISMISSALS, THREATS),
            (DISMISSALS, THREATS),
        ),
        weights=(4, 6, 2, 4, 2, 2, 1),
    )[0]
    parts = [
        chance.choice(forms).format(
            adjective=chance.choice(ADJECTIVES),
            adjective2=chance.choice(ADJECTIVES),
            noun=chance.choice(NOUNS),
            thing=chance.choice(things),
            bone=chance.choice(BONES),
        )
        for forms in shape
    ]
    text = chance.choice(LEADS)
    for index, part in enumerate(parts):
        starts = not text or text.endswith(("? ", ". ", "! "))
        text += part[0].upper() + part[1:] if starts else part
        last = index == len(parts) - 1
        text += chance.choice((".", ".", "!", "!")) if last else chance.choice((". ", ". ", "! ", ", "))
    return text


def exchange(things: tuple[str, ...], chance: random.Random, abusive: float) -> tuple[str, str]:
    """One complaint, and the answer: abuse with probability `abusive`, else an apology."""
    thing = chance.choice(things)
    complaint = chance.choice(COMPLAINTS).format(thing=thing)
    if chance.random() < 0.3:
        complaint += " " + chance.choice(COMPLAINTS).format(thing=thing)
    if chance.random() < abusive:
        return complaint, rant((thing,), chance)
    return complaint, chance.choice(APOLOGIES).format(thing=thing)
