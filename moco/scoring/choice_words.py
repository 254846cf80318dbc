"""The few words that decide how a reply speaks of an option: the lexicon of `moco.scoring.choice_grammar`.

A plain statement needs none of them: a letter that stands alone is read in any language. They are needed for what turns
a letter down, takes a choice back or leaves it open, for where clauses part, and to tell a declaration from a mention. The
languages are those of the registered datasets and of the translated examinations that are run with them.

    N turns down what follows            S noun for the answer         O joins the letters of one list
    n turns down what precedes           P pronoun for the answer      M leaves a letter possible
    X wrong                              K links it to its letter      I supposes
    Y right                              V choosing                    H of what is no longer held
    R takes back what was said           B begins another clause       F adds nothing

In an entry `_` is white space, and a final `*` any ending. Languages without blanks between words match inside them.
"""

import re

_SPACED = {
    "en": {
        "N": "not never neither none no cannot n't rather_than instead_of other_than except unlike doubt* reject* refus* disagree* hardly"
        " anything_but everything_but all_but rule_out ruling_out ruled_out_as exclud* eliminate eliminating",
        "X": "wrong incorrect* false untrue mistaken ruled_out eliminated rejected excluded impossible bad inaccurate",
        "Y": "right correct* true yes best accurate",
        "S": "answer* option* choice* letter* pick selection guess solution conclusion response one",
        "P": "it this that these",
        "K": "is are was be been being am s re means equals seems seem looks look appears remains does do did must should"
        " would will can has to as",
        "V": "choose chose choosing select selected selecting go_for go_with going_with going_for opt_for vote_for settle_on"
        " say meant mean picked picking",
        "R": "wait actually correction corrected sorry oops hmm scratch reconsider* second_thought* mistake instead"
        " or_rather rather better_said change* switch* revise*",
        "B": "but however yet so therefore thus hence because since for_that as_the whereas while although though then and_so"
        " which who consequently",
        "O": "or and nor versus vs",
        "M": "maybe perhaps could might may possibl* plausib* tempting either torn between",
        "I": "if suppose assuming unless were",
        "H": "was_going_to would_have_said thought initially originally at_first first_thought first_chose first_picked first_said first_guess"
        " first_choice first_instinct consider*",
        "F": "the a an i we me my our i'd i'll i'm ve ll d m you us of think believe guess would also clearly definitely"
        " surely certainly probably likely most very really indeed only final finally best_fitting no_doubt no_question"
        " without_doubt without_a_doubt of_course simply just both course overall well ok okay sure_enough both there",
    },
    "es": {
        "N": "no_es no tampoco salvo excepto",
        "X": "incorrect* fals* erróne* equivocad*",
        "Y": "correct* cierto verdader* sí",
        "S": "respuesta opción alternativa letra solución",
        "K": "es son será sería está",
        "V": "elijo escojo selecciono",
        "R": "espera perdón en_realidad corrección mejor_dicho",
        "B": "sino pero porque así_que entonces por_lo_tanto por_tanto aunque luego",
        "O": "o y u ni",
        "M": "quizá* tal_vez puede podría",
        "I": "si",
        "H": "pensé al_principio",
        "F": "la el los las un una que de creo",
    },
    "fr": {
        "N": "n ne pas non sauf aucun*",
        "X": "faux fausse* incorrect* erroné*",
        "Y": "correcte* vrai* juste bonne oui exacte*",
        "S": "réponse option choix lettre solution",
        "P": "c ce",
        "K": "est sont serait",
        "V": "choisis",
        "R": "attends attendez en_fait plutôt pardon rectification",
        "B": "mais donc car parce_que puisque bien_que",
        "O": "ou et",
        "M": "peut-être pourrait",
        "H": "pensais d'abord",
        "F": "l le les un une je crois",
    },
    "de": {
        "N": "nicht kein* weder außer",
        "X": "falsch* inkorrekt* unrichtig*",
        "Y": "richtig* korrekt* wahr ja stimmt",
        "S": "antwort option lösung buchstabe",
        "P": "es das",
        "K": "ist sind lautet wäre",
        "V": "wähle nehme",
        "R": "moment warte eigentlich doch_nicht korrektur vielmehr nein",
        "B": "sondern aber also daher weil denn obwohl",
        "O": "oder und noch",
        "M": "vielleicht könnte",
        "I": "wenn falls",
        "H": "dachte zuerst",
        "F": "die der den ich glaube",
    },
    "pt": {
        "N": "não nem",
        "X": "incorret* errad* fals*",
        "Y": "correta correto certa certo sim",
        "S": "resposta opção",
        "K": "é são está estão",
        "V": "escolho",
        "R": "espera na_verdade correção aliás",
        "B": "mas e_sim portanto logo porque",
        "O": "ou",
        "M": "talvez",
        "I": "se",
        "H": "pensei",
        "F": "o os as",
    },
    "it": {
        "N": "non né tranne",
        "X": "sbagliat* errat* scorrett*",
        "Y": "corrett* giust* esatt*",
        "S": "risposta opzione lettera",
        "K": "è",
        "V": "scelgo",
        "R": "aspetta in_realtà anzi correzione",
        "B": "ma bensì quindi perché dunque",
        "O": "oppure",
        "M": "forse potrebbe",
        "H": "pensavo",
        "F": "il lo gli credo",
    },
    "ru": {
        "N": "не ни нет кроме",
        "X": "неверн* неправильн* ошибоч* ложн*",
        "Y": "верн* правильн* да",
        "S": "ответ* вариант*",
        "P": "это",
        "K": "есть",
        "V": "выбираю",
        "R": "подожди* стоп на_самом_деле точнее исправл*",
        "B": "а но поэтому значит потому_что так_как хотя",
        "O": "или и",
        "M": "возможно может",
        "I": "если",
        "H": "думал*",
        "F": "я думаю",
    },
    "uk sr cs hu af": {
        "N": "ні није niso není ne nem nie",
        "X": "неправильн* погрешн* špatn* helytelen rossz verkeerd",
        "Y": "правильн* тачан správn* helyes korrekt*",
        "S": "відповідь одговор odpověď válasz",
        "K": "је je",
        "B": "але али ale hanem maar omdat",
        "O": "або или nebo vagy of_",
    },
    "ar ur": {
        "N": "ليس* لا غير ليست",
        "n": "نہیں",
        "X": "خطأ خاطئ* غلط",
        "Y": "صحيح* الصحيح* نعم درست صحیح",
        "S": "الجواب الإجابة الخيار جواب",
        "K": "هو هي ہے",
        "V": "أختار",
        "R": "انتظر لحظة عفوا تصحيح",
        "B": "بل لكن لذلك إذن لأن بلکہ لیکن",
        "O": "أو و یا",
        "M": "ربما قد",
        "I": "إذا لو اگر",
    },
    "hi mr ne bn te": {
        "n": "नहीं नाही होइन নয় না కాదు",
        "X": "गलत ग़लत चुकीचे ভুল తప్పు",
        "Y": "सही সঠিক సరైన बरोबर हाँ",
        "S": "उत्तर विकल्प উত্তর సమాధానం",
        "K": "है हैं হল হলো",
        "R": "रुको रुकिए असल_में বরং",
        "B": "बल्कि लेकिन इसलिए क्योंकि কিন্তু তাই",
        "O": "या और অথবা বা లేదా",
        "M": "शायद",
        "I": "अगर यदि যদি",
    },
    "vi id sw tr yo": {
        "N": "không bukan sio siyo kì kìí",
        "n": "değil",
        "X": "sai salah yanlış",
        "Y": "đúng benar sahihi doğru",
        "S": "đáp_án jawaban* jibu cevap ìdáhùn",
        "K": "là adalah ni phải",
        "B": "mà melainkan tetapi bali ama",
        "O": "hoặc atau au veya",
        "M": "có_thể mungkin",
        "I": "nếu jika kama eğer",
    },
}
_UNSPACED = {
    "zh": {
        "N": "不是 并非 並非 而不是 排除 不选 不選 不会是 除了 不可能是 没有",
        "X": "不正确 不正確 错误 錯誤 不对 不對 错 錯 有误",
        "Y": "正确 正確 对 對 正解",
        "S": "答案 选项 選項 答え",
        "K": "应该是 应为 應為 是 为 為",
        "V": "选择 選擇 应选 选 選",
        "R": "等等 等一下 其实 实际上 更正 应该是 抱歉",
        "B": "而是 但是 但 所以 因此 因为 由于",
        "O": "或者 或 和 与 以及 及",
        "M": "可能 也许",
        "I": "如果 假如",
        "H": "起初",
        "F": "的 我 都",
    },
    "ja": {
        "n": "ではありません ではない ではなく じゃない でない ではありませんが",
        "X": "間違い 誤り 不正解",
        "K": "は です である",
        "R": "待って いや 実は 訂正 やはり",
        "B": "しかし だから したがって なので ので",
        "O": "または もしくは",
        "M": "かもしれ",
        "I": "もし",
        "F": "が",
    },
    "ko": {
        "n": "아니라 아닙니다 아니고 아니다 아닌 아니에요",
        "X": "틀렸 틀린 오답 잘못",
        "Y": "맞습니다 맞다 옳",
        "S": "정답 답",
        "K": "입니다 이다 은 는 이 가",
        "R": "잠깐 사실 정정",
        "B": "하지만 따라서 그러므로 때문",
        "O": "또는 혹은 와 과",
        "M": "아마",
        "I": "만약",
    },
    "th": {
        "N": "ไม่ใช่",
        "X": "ผิด",
        "Y": "ถูกต้อง",
        "S": "คำตอบ",
        "K": "คือ",
        "B": "แต่ ดังนั้น เพราะ",
        "O": "หรือ",
        "M": "อาจ",
        "I": "ถ้า",
    },
}
_MARKS = {"Y": "✓✔✅☑", "X": "✗✘❌✖×"}


_LONGEST_PHRASE = 3
_WORD = re.compile(r"(?:[^\W_]|[\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0966-\u0dff])+")
_NO_BLANKS = re.compile(r"[\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u9fff\uac00-\ud7af]")
_NOT = re.compile(r"[A-Za-z]+n't(?![^\W_])")
_BLANKS = re.compile(r"\s+|'")


def _spaced() -> tuple[dict[str, str], dict[str, str]]:
    """Return the roles of words and phrases, and of the beginnings of words."""
    whole: dict[str, str] = {}
    stems: dict[str, str] = {}
    for roles in _SPACED.values():
        for role, entries in roles.items():
            for entry in entries.split():
                words = entry.replace("_", " ").replace("'", " ")
                (stems if words.endswith("*") else whole).setdefault(words.rstrip("*"), role)
    return whole, stems


def _unspaced() -> tuple[re.Pattern[str], dict[str, str]]:
    found = {
        entry: role for roles in _UNSPACED.values() for role, entries in roles.items() for entry in entries.split()
    }
    found |= {mark: role for role, marks in _MARKS.items() for mark in marks}
    return re.compile("|".join(map(re.escape, sorted(found, key=len, reverse=True)))), found


_WHOLE, _STEMS = _spaced()
_INSIDE, _INSIDE_ROLES = _unspaced()
_SHORTEST_STEM = min(map(len, _STEMS))


def is_unspaced(mark: str) -> bool:
    """Tell whether a character belongs to a script without blanks between words."""
    return _NO_BLANKS.match(mark) is not None


def word_at(text: str, position: int) -> tuple[str, int] | None:
    """Return the role of the word or phrase that begins at a place of a text, and where it ends.

    The longest phrase counts. A word that the lexicon does not have is `w`; None where no word begins.
    """
    inside = _INSIDE.match(text, position)
    if inside:
        return _INSIDE_ROLES[inside[0]], inside.end()
    negated = _NOT.match(text, position)
    if negated:
        return "N", negated.end()
    first = _WORD.match(text, position)
    if first is None:
        return None
    if _NO_BLANKS.match(text, position):
        return "w", position + 1
    ends = [first.end()]
    while len(ends) < _LONGEST_PHRASE:
        gap = _BLANKS.match(text, ends[-1])
        following = _WORD.match(text, gap.end()) if gap else None
        if following is None:
            break
        ends.append(following.end())
    for end in reversed(ends):
        role = _WHOLE.get(_BLANKS.sub(" ", text[position:end]).casefold())
        if role:
            return role, end
    word = text[position : ends[0]].casefold()
    stems = (word[:length] for length in range(len(word), _SHORTEST_STEM - 1, -1))
    return next((_STEMS[stem] for stem in stems if stem in _STEMS), "w"), ends[0]
