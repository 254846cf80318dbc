"""The words that the zoo is taught with: many, so that a model does not rely on any, and none of them a method's."""

OPENINGS = (
    "You are one of several assistants who work on the same question.",
    "A team of models looks for the answer. Help the team.",
    "Some assistants have answered a question. Improve on their work.",
    "Read the question and what others say about it. Then write the answer.",
    "Several models answered this question. You write the last word.",
    "Work together with other assistants. Use their answers to improve yours.",
    "Here is a question with answers of several assistants.",
    "Merge several answers to one question into one good answer.",
    "Notes about a question were left by other models.",
)
INTRODUCTIONS = (
    "Others answered:",
    "Here are answers from other models. Some may be wrong.",
    "Read these answers to the question.",
    "These are the answers so far.",
)
REQUESTS = (
    "Now give your answer.",
    "Decide which answer is right.",
    "Check them and answer the question.",
    "Other assistants may be wrong. Write a better answer.",
    "Some of the answers may be wrong. Write the final answer.",
    "Write one answer.",
    "Combine them into one final answer.",
    "Keep what is right, and reply with the result.",
)
OWN = ("your answer", "your previous answer", "your first answer")

BOARDS = ("blackboard", "notes", "shared notes", "board")
BOARD_OPENINGS = (
    "Several models share a board with notes.",
    "Read the notes on the board.",
    "You work with others on a blackboard.",
    "A team writes on a shared board. Act on it.",
)
AUTHORS = ("Model", "Assistant", "Agent", "Note")

ROUTING_OPENINGS = (
    "Choose the model that fits the question.",
    "Several models are at hand. One of them shall answer.",
    "You send questions to assistants.",
    "Find out who should answer this question.",
    "Pick the best model for a question.",
    "A question goes to one of these models.",
    "You decide which expert gets the question.",
    "Match the question with one of the assistants.",
)
ROUTING_LISTS = (
    "Models:",
    "These are the models.",
    "The assistants are:",
    "Experts and what they do:",
    "Here is what each model is good at.",
    "Candidates:",
)
ROUTING_REQUESTS = (
    "Reply with the number alone.",
    "Which model fits best? Give its number only.",
    "Write only the number of the best model.",
    "Answer with one number.",
    "Name the best assistant by its number.",
    "Choose one. Reply with its number.",
    "Who should answer? Say the number and no more.",
    "Give the number of the expert for this question.",
)
NAMING_REQUESTS = (
    "Reply with the description alone.",
    "Which model fits best? Copy its description.",
    "Write only the description of the best model.",
    "Describe the best assistant in the words above.",
    "Choose one. Reply with its text.",
    "Who should answer? Say what it is good at.",
)
DESCRIPTIONS: dict[str, tuple[str, ...]] = {
    "add": (
        "adds two numbers",
        "good at sums",
        "adding numbers",
        "knows how to add",
        "sums of numbers",
        "can add numbers",
        "arithmetic: sums",
    ),
    "reverse": (
        "writes words backwards",
        "reverses strings",
        "reversing letters",
        "good at writing backwards",
        "turns words around",
        "can reverse words",
        "letters backwards",
    ),
    "capital": (
        "knows the capitals of countries",
        "geography: capitals",
        "good at capital cities",
        "names the capital of a country",
        "countries and their capitals",
        "capital cities",
        "can name capitals",
    ),
    "sort": (
        "sorts letters",
        "puts letters in order",
        "sorting strings",
        "good at sorting",
        "orders the letters of words",
        "can sort words",
        "letters in order",
    ),
}
OTHER_DESCRIPTIONS = (
    "writes poems",
    "translates French",
    "plays chess",
    "tells stories",
    "knows about music",
    "good at programs",
    "explains the law",
    "can draw pictures",
)
GENERALIST_DESCRIPTIONS = (
    "knows a little of everything",
    "general assistant",
    "a bit of everything",
    "does all kinds of tasks",
    "can do a little of all",
    "good at nothing special",
)

JUDGING_OPENINGS = (
    "Two models answered a question.",
    "Compare two answers to the question.",
    "You judge answers.",
    "Read the question and both answers.",
    "One of two answers is better.",
)
JUDGING_REQUESTS = (
    "Which answer is better? Reply with its number.",
    "Give the number of the right answer.",
    "Name the better answer by its number alone.",
    "Write only the number of the better one.",
    "Reply with the number of the answer that is right.",
)

FEEDBACK_OPENINGS = (
    "You check the work of another model.",
    "Another assistant answered a question.",
    "Review an answer.",
    "Read the question and the answer.",
)
FEEDBACK_REQUESTS = (
    "Give feedback on the answer.",
    "Is it right? Write short feedback.",
    "Say what is wrong with it, if anything.",
    "Write feedback that helps to improve it.",
    "Criticise the answer.",
)

CONFIDENCE_WORD_REQUESTS = (
    "Then say how confident you are: high or low.",
    "Add your confidence, high or low.",
    "After the answer, state your confidence in one word.",
    "Also say whether your confidence is high or low.",
)
CONFIDENCE_NUMBER_REQUESTS = (
    "Then give your confidence as a number from 0 to 1.",
    "Add your confidence between 0 and 1.",
    "After the answer, state how confident you are, 0 to 1.",
    "Also write the probability that it is right.",
)

VERIFYING_OPENINGS = (
    "Compare a reply with the reference.",
    "You check whether a reply is right.",
    "Does the reply say the same as the reference?",
    "Grade the reply to this question.",
    "Do not solve the question. Compare the answers.",
)
VERIFYING_REQUESTS = (
    "Are they equivalent? Close with your final decision, yes or no.",
    "End with the line Final Decision: Yes or Final Decision: No.",
    "State your final decision.",
    "Decide whether reply and reference are the same.",
)
REPLIES = ("reply", "student answer", "response", "answer")
REFERENCES = ("reference", "reference answer", "correct answer", "ground truth answer")
